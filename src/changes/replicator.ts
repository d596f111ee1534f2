import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../lib/errors/classify.ts';
import type { WatchedLoop } from '../lib/health/loop-watch.ts';
import type { Log } from '../lib/log/create-log.ts';
import type { Postgres } from '../lib/postgres/postgres.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import type { PgoutputMessage } from '../lib/replication/pgoutput-message.ts';
import { ReplicationStream } from '../lib/replication/replication-stream.ts';
import { readSlot } from '../lib/replication/slot.ts';
import type { Sink } from './change-batch.ts';
import { openEpoch } from './change-epoch.ts';
import { ChangeFeed } from './change-feed.ts';
import { endSilentReader } from './end-silent-reader.ts';
import { FollowedTables } from './followed-tables.ts';
import { openSlot } from './open-slot.ts';
import { SinkPositions } from './sink-positions.ts';
import { SinkRunner, type SinkRunnerParts, type SinkState } from './sink-runner.ts';
import { checkServer, StreamUnavailable, type Publication } from '../lib/replication/requirements.ts';
import { ddlPrefix, StreamStatus } from './stream-status.ts';

export interface ReplicatorParts {
  readonly postgres: Postgres;
  readonly log: Log;
  readonly sinks: readonly Sink[];
  readonly slot: string;
  readonly publications: readonly Publication[];
  /** In the table of who streams. */
  readonly processId?: string;
  /** Turned once a second. */
  readonly loop?: WatchedLoop;
  /** How often positions are stored and told to the server; 1 s by default. */
  readonly statusMs?: number;
  /** How often a mark is sent through the stream, and its state written down; 5 s by default. */
  readonly heartbeatMs?: number;
  /** After which another process that reads the slot and is not heard of is ended; 3 s by default. */
  readonly silenceMs?: number;
  readonly limits?: Pick<SinkRunnerParts, 'maxWaiting' | 'maxWaitingBytes' | 'patienceMs'>;
}

/** `waiting`: another process streams. `unavailable`: the database lacks something that is needed. */
export type ReplicatorState = 'starting' | 'waiting' | 'streaming' | 'unavailable' | 'stopped';

export interface ReplicatorStatus {
  readonly state: ReplicatorState;
  /** Why it is unavailable, with the statement that helps. */
  readonly problem: string | undefined;
  readonly sinks: readonly {
    readonly name: string;
    readonly state: SinkState | 'unavailable';
    readonly waiting: number;
    readonly position: Lsn;
    /** Why nothing is given to it: a table that it watches can't be followed. */
    readonly problem?: string;
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
/** A publication that is missing, or was when a change was made: what it would have told is lost. */
const missingPublication = new Set(['55000', '42704']);
const longestBackoffMs = 5_000;
const unavailablePauseMs = 10_000;
const idleStoreMs = 30_000;

/**
 * Follows the change stream for the sinks. Of several processes one streams; the others look each second whether it still
 * does, and take its place. Positions are stored before the server hears of them: whatever breaks, nothing is skipped, and
 * the last changes are told again.
 */
export class Replicator {
  readonly #parts: ReplicatorParts;
  readonly #statusMs: number;
  readonly #positions: SinkPositions;
  readonly #status: StreamStatus;
  readonly #tables: FollowedTables;
  readonly #closing = new AbortController();
  #state: ReplicatorState = 'starting';
  #problem: string | undefined;
  #runners: readonly SinkRunner[] = [];
  /** The slot has to be made anew, as it has skipped changes. */
  #skipped = false;
  /** The end of the last transaction that was told. */
  #toldTo: Lsn = 0n;
  #storedAt = 0;
  #isNearLoss = false;
  #running: Promise<void> | undefined;

  constructor(parts: ReplicatorParts) {
    this.#parts = parts;
    this.#statusMs = parts.statusMs ?? 1_000;
    this.#positions = new SinkPositions(parts.postgres);
    this.#status = new StreamStatus({ ...parts, processId: parts.processId ?? 'unknown' });
    this.#tables = new FollowedTables(parts);
  }

  get status(): ReplicatorStatus {
    return {
      state: this.#state,
      problem: this.#problem,
      sinks: [
        ...this.#runners.map(({ name, state, queue, position }) => ({ name, state, waiting: queue.size, position })),
        ...[...this.#tables.leftOut].map(
          ([name, problem]) => ({ name, state: 'unavailable', waiting: 0, position: 0n, problem }) as const,
        ),
      ],
    };
  }

  /** From a commit to its arrival, as last measured here; undefined while nothing streams. */
  get lagMs(): number | undefined {
    return this.#state === 'streaming' ? this.#status.lagMs : undefined;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the stream; what the sinks had taken is stored and confirmed. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#state = 'stopped';
    this.#parts.loop?.end();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      const startedAt = performance.now();
      try {
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (performance.now() - startedAt > longestBackoffMs) failures = 0;
        const pauseMs = await this.#judge(error, failures);
        failures += 1;
        await this.#pause(pauseMs, signal);
      }
    }
  }

  /** What becomes of the replicator after this, and how long it waits first. */
  async #judge(reason: unknown, failures: number): Promise<number> {
    const { postgres, log, slot, silenceMs = 3_000 } = this.#parts;
    const code = codeOf(reason);
    if (code === inUse) {
      this.#state = 'waiting';
      this.#problem = undefined;
      return (await endSilentReader(postgres, slot, silenceMs).catch(() => false)) ? 50 : 1_000;
    }
    if (reason instanceof StreamUnavailable) {
      if (this.#problem !== reason.message) log.error({ event: 'changes.unavailable', slot, problem: reason.message });
      this.#state = 'unavailable';
      this.#problem = reason.message;
      await this.#status.tell(this.#state, reason.message, [], this.#tables.leftOut).catch(() => undefined);
      return unavailablePauseMs;
    }
    this.#state = 'starting';
    if (code !== undefined && missingPublication.has(code)) this.#skipped = true;
    log.warn({ event: 'changes.stream-failed', slot, err: reason });
    return Math.min(longestBackoffMs, 100 * 2 ** failures);
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    for (let left = ms; left > 0 && !signal.aborted; left -= 1_000) {
      this.#parts.loop?.beat();
      await delay(Math.min(left, 1_000), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Streams until something fails. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { postgres, log, slot } = this.#parts;
    await checkServer(postgres, slot);
    const sinks = await this.#tables.publish();
    const epoch = await openEpoch(postgres);
    const slotPosition = await openSlot(this.#parts, { renew: this.#skipped });
    // One that never followed has a row too, where it is said why.
    await this.#positions.store(new Map([...this.#tables.leftOut.keys()].map((name) => [name, 0n])));
    const known = await this.#positions.read();
    const lacking = await this.#positions.lackingChanges();
    const stale = sinks.filter(({ name }) => (known.get(name) ?? -1n) < slotPosition || lacking.has(name));
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const course: Course = { stream: undefined, runners: [] };
    course.runners = sinks.map((sink) =>
      this.#createRunner(sink, {
        epoch,
        position: stale.includes(sink) ? slotPosition : (known.get(sink.name) ?? slotPosition),
        onProgress: () => regulate(course),
        onFailure: failed.reject,
      }),
    );
    const { runners } = course;
    const stream = await this.#openStream(course, failed.reject);
    course.stream = stream;
    this.#runners = runners;
    const ended = stream.ended.then((reason) => {
      throw reason ?? new Error('the change stream ended');
    });
    ended.catch(() => undefined);
    try {
      await this.#startOver(stale, slotPosition, signal);
      for (const sink of sinks) if (!stale.includes(sink)) await sink.begin?.();
      for (const runner of runners) runner.start();
      this.#state = 'streaming';
      this.#problem = undefined;
      this.#skipped = false;
      log.info({ event: 'changes.streaming', slot, epoch });
      await Promise.race([ended, failed.promise, this.#keep(stream, runners, signal)]);
    } finally {
      for (const runner of runners) await runner.close();
      await this.#store(stream, runners).catch((error: unknown) => {
        log.warn({ event: 'changes.position-not-stored', err: error });
      });
      await stream.stop();
    }
  }

  #createRunner(
    sink: Sink,
    more: Pick<SinkRunnerParts, 'epoch' | 'position' | 'onProgress' | 'onFailure'>,
  ): SinkRunner {
    const { postgres: db, log, limits } = this.#parts;
    return new SinkRunner({ ...limits, ...more, sink, db, log });
  }

  #openStream(course: Course, fail: (error: unknown) => void): Promise<ReplicationStream> {
    const feed = new ChangeFeed(course.runners.map(({ queue, watches }) => ({ queue, watches })));
    const described = new Set<number>();
    const hear = (): void => {
      for (const runner of course.runners) if (!runner.queue.isEmpty) runner.wake();
      regulate(course);
    };
    return ReplicationStream.start({
      target: this.#parts.postgres.directUrl,
      applicationName: 'treadle:replicator',
      slot: this.#parts.slot,
      publications: this.#parts.publications.map(({ name }) => name),
      statusMs: this.#statusMs,
      onMessage: (message) => {
        feed.take(message);
        if (message.kind === 'commit') this.#toldTo = message.endLsn;
        else if (message.kind === 'message') this.#hearMessage(message, fail);
        else if (message.kind === 'relation') {
          // Described once more: its columns are others than before.
          if (described.has(message.relation.oid)) this.#checkTables(fail);
          described.add(message.relation.oid);
        }
        if (message.kind === 'commit' || course.runners.some((runner) => runner.isFull)) hear();
      },
      onIdle: (upTo) => {
        feed.idle(upTo);
        hear();
      },
    });
  }

  #hearMessage(
    { prefix, content }: Extract<PgoutputMessage, { kind: 'message' }>,
    fail: (error: unknown) => void,
  ): void {
    this.#status.hear(prefix, content);
    if (prefix !== ddlPrefix) return;
    this.#parts.log.info({ event: 'changes.tables-changed', tables: content });
    this.#checkTables(fail);
  }

  /** A table that no longer is what a sink needs is told at once, and not by statements that fail later. */
  #checkTables(fail: (error: unknown) => void): void {
    this.#tables.check(this.#runners.map(({ name }) => name)).catch(fail);
  }

  async #startOver(stale: readonly Sink[], slotPosition: Lsn, signal: AbortSignal): Promise<void> {
    for (const sink of stale) {
      this.#parts.log.warn({ event: 'changes.sink-starts-over', sink: sink.name });
      await sink.startOver(signal);
      await this.#positions.startedOver(sink.name, slotPosition);
    }
  }

  /** Stores positions, and sends a mark through the stream every so often. */
  async #keep(stream: ReplicationStream, runners: readonly SinkRunner[], signal: AbortSignal): Promise<void> {
    const { heartbeatMs = 5_000 } = this.#parts;
    for (let markedAt = Number.NEGATIVE_INFINITY; ;) {
      if (performance.now() - markedAt >= heartbeatMs) {
        markedAt = performance.now();
        this.#status.note(stream.received);
        await this.#status.tell(this.#state, undefined, runners, this.#tables.leftOut, stream.serverPid);
        await this.#warnOfLoss();
        await this.#tables.check(runners.map(({ name }) => name));
      }
      await delay(this.#statusMs, undefined, { signal });
      this.#parts.loop?.beat();
      await this.#store(stream, runners);
    }
  }

  /** Beyond max_slot_wal_keep_size the server lets the slot go, and every sink has to start over. */
  async #warnOfLoss(): Promise<void> {
    const { postgres, slot, log } = this.#parts;
    const found = await readSlot(postgres, slot);
    const isNear = found?.safeWalBytes != null && found.safeWalBytes < found.retainedBytes;
    if (isNear && !this.#isNearLoss) {
      const { retainedBytes, safeWalBytes } = found;
      log.warn({ event: 'changes.slot-near-loss', slot, retainedBytes, safeWalBytes });
    }
    this.#isNearLoss = isNear;
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
