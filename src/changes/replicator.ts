import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../lib/errors/classify.ts';
import type { Log } from '../lib/log/create-log.ts';
import type { Postgres } from '../lib/postgres/postgres.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import { ReplicationStream } from '../lib/replication/replication-stream.ts';
import { createSlot, readSlot } from '../lib/replication/slot.ts';
import type { Sink } from './change-batch.ts';
import { ChangeFeed } from './change-feed.ts';
import { endSilentReader } from './end-silent-reader.ts';
import { SinkPositions } from './sink-positions.ts';
import { SinkRunner, type SinkRunnerParts, type SinkState } from './sink-runner.ts';

export interface ReplicatorParts {
  readonly postgres: Postgres;
  readonly log: Log;
  readonly sinks: readonly Sink[];
  readonly slot?: string;
  readonly publication?: string;
  /** How often positions are stored and told to the server; 1 s by default. */
  readonly statusMs?: number;
  /** After which another process that reads the slot and is not heard of is ended; 3 s by default. */
  readonly silenceMs?: number;
  readonly limits?: Pick<SinkRunnerParts, 'maxWaiting' | 'patienceMs'>;
}

export type ReplicatorState = 'starting' | 'waiting' | 'streaming' | 'stopped';

export interface ReplicatorStatus {
  /** `waiting`: another process streams. */
  readonly state: ReplicatorState;
  readonly sinks: readonly {
    readonly name: string;
    readonly state: SinkState;
    readonly waiting: number;
    readonly position: Lsn;
  }[];
}

/** A stream and those it is for. */
interface Course {
  stream: ReplicationStream | undefined;
  runners: readonly SinkRunner[];
}

/** The server waits while somebody has no room. */
const regulate = ({ stream, runners }: Course): void => {
  if (runners.some((runner) => runner.isFull)) stream?.pause();
  else stream?.resume();
};

const inUse = '55006';
const longestBackoffMs = 5_000;
const idleStoreMs = 30_000;

/**
 * Follows the change stream for the sinks. Of several processes one streams; the others look each second whether it still
 * does, and take its place. Positions are stored before the server hears of them: whatever breaks, nothing is skipped, and
 * the last changes are told again.
 */
export class Replicator {
  readonly #parts: ReplicatorParts;
  readonly #slot: string;
  readonly #publication: string;
  readonly #statusMs: number;
  readonly #positions: SinkPositions;
  readonly #closing = new AbortController();
  #state: ReplicatorState = 'starting';
  #runners: readonly SinkRunner[] = [];
  /** The end of the last transaction that was told. */
  #toldTo: Lsn = 0n;
  #storedAt = 0;
  #running: Promise<void> | undefined;

  constructor(parts: ReplicatorParts) {
    this.#parts = parts;
    this.#slot = parts.slot ?? 'treadle';
    this.#publication = parts.publication ?? 'treadle';
    this.#statusMs = parts.statusMs ?? 1_000;
    this.#positions = new SinkPositions(parts.postgres);
  }

  get status(): ReplicatorStatus {
    return {
      state: this.#state,
      sinks: this.#runners.map(({ name, state, queue, position }) => ({ name, state, waiting: queue.size, position })),
    };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the stream; what the sinks had taken is stored and confirmed. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#state = 'stopped';
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      let pauseMs = 1_000;
      try {
        await this.#follow(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (codeOf(error) === inUse) {
          this.#state = 'waiting';
          await endSilentReader(this.#parts.postgres, this.#slot, this.#parts.silenceMs ?? 3_000).catch(() => false);
        } else {
          this.#state = 'starting';
          pauseMs = Math.min(longestBackoffMs, 100 * 2 ** failures);
          failures += 1;
          this.#parts.log.warn({ event: 'changes.stream-failed', slot: this.#slot, err: error });
        }
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Streams until something fails. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { log, sinks } = this.#parts;
    const slotPosition = await this.#openSlot();
    const known = await this.#positions.read();
    const stale = sinks.filter(({ name }) => (known.get(name) ?? -1n) < slotPosition);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const course: Course = { stream: undefined, runners: [] };
    course.runners = sinks.map((sink) =>
      this.#createRunner(sink, stale.includes(sink) ? slotPosition : (known.get(sink.name) ?? slotPosition), {
        onProgress: () => regulate(course),
        onFailure: failed.reject,
      }),
    );
    const { runners } = course;
    const stream = await this.#openStream(course);
    course.stream = stream;
    this.#runners = runners;
    const ended = stream.ended.then((reason) => {
      throw reason ?? new Error('the change stream ended');
    });
    ended.catch(() => undefined);
    try {
      await this.#startOver(stale, slotPosition, signal);
      for (const runner of runners) runner.start();
      this.#state = 'streaming';
      log.info({ event: 'changes.streaming', slot: this.#slot });
      await Promise.race([ended, failed.promise, this.#keepStoring(stream, runners, signal)]);
    } finally {
      for (const runner of runners) await runner.close();
      await this.#store(stream, runners).catch((error: unknown) => {
        log.warn({ event: 'changes.position-not-stored', err: error });
      });
      await stream.stop();
    }
  }

  #createRunner(sink: Sink, position: Lsn, handlers: Pick<SinkRunnerParts, 'onProgress' | 'onFailure'>): SinkRunner {
    const { postgres: db, log, limits } = this.#parts;
    return new SinkRunner({ ...limits, ...handlers, sink, db, log, position });
  }

  #openStream(course: Course): Promise<ReplicationStream> {
    const feed = new ChangeFeed(course.runners.map(({ queue, watches }) => ({ queue, watches })));
    const hear = (): void => {
      for (const runner of course.runners) if (!runner.queue.isEmpty) runner.wake();
      regulate(course);
    };
    return ReplicationStream.start({
      target: this.#parts.postgres.directUrl,
      applicationName: 'treadle:replicator',
      slot: this.#slot,
      publication: this.#publication,
      statusMs: this.#statusMs,
      onMessage: (message) => {
        feed.take(message);
        if (message.kind === 'commit') this.#toldTo = message.endLsn;
        if (message.kind === 'commit' || course.runners.some((runner) => runner.isFull)) hear();
      },
      onIdle: (upTo) => {
        feed.idle(upTo);
        hear();
      },
    });
  }

  /** Where the slot stands; it is made where there is none. */
  async #openSlot(): Promise<Lsn> {
    const { postgres } = this.#parts;
    const found = await readSlot(postgres, this.#slot);
    if (found?.confirmedFlush != null && found.walStatus !== 'lost') return found.confirmedFlush;
    const client = await postgres.connectDirect('slot');
    try {
      if (found) await client.query('SELECT pg_drop_replication_slot($1)', [this.#slot]);
      await createSlot(client, this.#slot);
    } finally {
      await client.end();
    }
    const made = await readSlot(postgres, this.#slot);
    if (made?.confirmedFlush == null)
      throw new Error(`the replication slot ${this.#slot} was removed while it was made`);
    return made.confirmedFlush;
  }

  async #startOver(stale: readonly Sink[], slotPosition: Lsn, signal: AbortSignal): Promise<void> {
    for (const sink of stale) {
      this.#parts.log.warn({ event: 'changes.sink-starts-over', sink: sink.name });
      await sink.startOver(signal);
      await this.#positions.store(new Map([[sink.name, slotPosition]]));
    }
  }

  async #keepStoring(stream: ReplicationStream, runners: readonly SinkRunner[], signal: AbortSignal): Promise<void> {
    for (;;) {
      await delay(this.#statusMs, undefined, { signal });
      await this.#store(stream, runners);
    }
  }

  /** First stored, then confirmed. */
  async #store(stream: ReplicationStream, runners: readonly SinkRunner[]): Promise<void> {
    const positions = new Map(runners.map(({ name, position }) => [name, position]));
    const least = [...positions.values()].reduce((a, b) => (a < b ? a : b));
    if (least <= stream.confirmed) return;
    // Storing is a change too: an idle database would never rest.
    if (stream.confirmed >= this.#toldTo && performance.now() - this.#storedAt < idleStoreMs) return;
    this.#storedAt = performance.now();
    await this.#positions.store(positions);
    stream.confirm(least);
  }
}
