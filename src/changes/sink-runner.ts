import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../lib/log/create-log.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import { versionOf } from '../lib/replication/change-version.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import type { Watch } from '../lib/replication/watch.ts';
import { serializeError } from '../lib/errors/classify.ts';
import { awaitVisible } from './await-visible.ts';
import type { ChangeBatch, Sink } from './change-batch.ts';
import { ChangeBacklog } from './change-backlog.ts';
import { SinkQueue, type TakenBatch } from './sink-queue.ts';

export interface SinkRunnerParts {
  readonly sink: Sink;
  readonly db: Queryable;
  readonly log: Log;
  /** Up to where it has everything, from {@link SinkPositions}. */
  readonly position: Lsn;
  /** Of the positions: see `versionOf`. */
  readonly epoch: number;
  /** Called when it has come further, or has room again. */
  readonly onProgress: () => void;
  /** Called once when Postgres fails: the runner has ended, and the stream has to begin again where it was confirmed. */
  readonly onFailure: (error: unknown) => void;
  /** Of so many entities the queue is full; 20,000 by default. */
  readonly maxWaiting?: number;
  /** Rows that take about so much fill it, too; 32 MiB by default. */
  readonly maxWaitingBytes?: number;
  /** After which a sink that fails is left behind: what is for it goes to the backlog. 5 s by default. */
  readonly patienceMs?: number;
}

/** `behind`: its changes go to the backlog, until it has taken that. */
export type SinkState = 'following' | 'failing' | 'behind';

const chunkSize = 1_000;
const longestPauseMs = 5_000;

/**
 * Hands a sink its batches, one after another. One that fails is tried again; after a while what is for it is written
 * down in Postgres, so that the stream goes on without it, and taken from there once it works again.
 */
export class SinkRunner {
  readonly queue: SinkQueue;
  readonly #parts: SinkRunnerParts;
  readonly #backlog: ChangeBacklog;
  readonly #maxWaiting: number;
  readonly #maxWaitingBytes: number;
  readonly #patienceMs: number;
  readonly #closing = new AbortController();
  #position: Lsn;
  /** Everything up to here is visible to whoever reads now: a position is stored only when it is. */
  #visibleTo: Lsn;
  #state: SinkState = 'behind';
  #wasLeftBehind = false;
  #failures = 0;
  #lastError: string | undefined;
  #failingSince = 0;
  #retryAt = 0;
  #wake: () => void = () => undefined;
  #running: Promise<void> | undefined;

  constructor(parts: SinkRunnerParts) {
    this.#parts = parts;
    this.#backlog = new ChangeBacklog(parts.db, parts.sink.name);
    this.queue = new SinkQueue(parts.epoch);
    this.#position = parts.position;
    this.#visibleTo = parts.position;
    this.#maxWaiting = parts.maxWaiting ?? 20_000;
    this.#maxWaitingBytes = parts.maxWaitingBytes ?? 32 * 1_048_576;
    this.#patienceMs = parts.patienceMs ?? 5_000;
  }

  get name(): string {
    return this.#parts.sink.name;
  }

  get watches(): readonly Watch[] {
    return this.#parts.sink.watches;
  }

  get state(): SinkState {
    return this.#state;
  }

  /** Everything up to here is durable in the sink, or written down for it. */
  get position(): Lsn {
    return this.#position;
  }

  /** Why it took nothing the last time; undefined when it did. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  get isFull(): boolean {
    return this.queue.size >= this.#maxWaiting || this.queue.bytes >= this.#maxWaitingBytes;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** There is something in the queue. */
  wake(): void {
    this.#wake();
  }

  /** Ends the batch under way; what is in the queue is dropped, and comes again with the next stream. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    try {
      while (!signal.aborted) await this.#step(signal);
    } catch (error) {
      // A batch that was taken is lost with it, and has to come again.
      if (!signal.aborted) this.#parts.onFailure(error);
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#state === 'behind') {
      await this.#stepBehind(signal);
      return;
    }
    if (this.queue.isEmpty) {
      await this.#idle(signal);
      return;
    }
    const batch = this.queue.take();
    await this.#see(batch, signal);
    while (!(await this.#offer(batch, signal))) {
      if (performance.now() - this.#failingSince > this.#patienceMs) {
        await this.#backlog.add(batch);
        this.#reach(batch.completeTo);
        this.#state = 'behind';
        this.#wasLeftBehind = true;
        this.#parts.log.warn({ event: 'changes.sink-left-behind', sink: this.name });
        return;
      }
      await delay(this.#retryAt - performance.now(), undefined, { signal });
    }
    this.#reach(batch.completeTo);
  }

  /** New changes are written down; the oldest of those that are is offered. */
  async #stepBehind(signal: AbortSignal): Promise<void> {
    await this.#writeDown(signal);
    if (performance.now() < this.#retryAt) {
      await this.#idle(signal, this.#retryAt - performance.now());
      return;
    }
    const chunk = await this.#backlog.next(chunkSize);
    if (chunk === undefined) {
      this.#state = 'following';
      if (this.#wasLeftBehind) this.#recover();
      return;
    }
    const offered = this.#offer({ ...chunk, xids: [], position: this.#visibleTo }, signal);
    const state = { open: true };
    const settled = offered.then(
      () => (state.open = false),
      () => (state.open = false),
    );
    try {
      // One that hangs stops neither the stream nor the other sinks.
      while (state.open && !signal.aborted) {
        await Promise.race([settled, this.#idle(signal)]);
        await this.#writeDown(signal);
      }
    } finally {
      await settled;
    }
    if (await offered) await this.#backlog.remove(chunk);
  }

  async #writeDown(signal: AbortSignal): Promise<void> {
    if (this.queue.isEmpty) return;
    const batch = this.queue.take();
    await this.#see(batch, signal);
    await this.#backlog.add(batch);
    this.#reach(batch.completeTo);
  }

  /** From here on whoever reads sees what the batch tells of. */
  async #see({ xids, position, completeTo }: TakenBatch, signal: AbortSignal): Promise<void> {
    if (xids.length > 0) {
      await awaitVisible(this.#parts.db, xids, signal);
      this.#visibleTo = position;
    }
    if (completeTo !== undefined && completeTo > this.#visibleTo) this.#visibleTo = completeTo;
  }

  async #offer(batch: ChangeBatch, signal: AbortSignal): Promise<boolean> {
    if (batch.entities.length === 0 && batch.truncated.length === 0) return true;
    const startedAt = performance.now();
    try {
      await this.#parts.sink.apply({ ...batch, version: versionOf(this.#parts.epoch, batch.position) }, signal);
      if (this.#state === 'failing') this.#state = 'following';
      this.#failures = 0;
      this.#lastError = undefined;
      this.#retryAt = 0;
      return true;
    } catch (error) {
      signal.throwIfAborted();
      // One that did not answer for a while has used up patience by that.
      if (this.#failures === 0) this.#failingSince = startedAt;
      if (this.#state === 'following') this.#state = 'failing';
      this.#retryAt = performance.now() + Math.min(longestPauseMs, 100 * 2 ** this.#failures);
      this.#failures += 1;
      this.#lastError = serializeError(error).message;
      this.#parts.log.warn({ event: 'changes.sink-failed', sink: this.name, failures: this.#failures, err: error });
      return false;
    }
  }

  #recover(): void {
    this.#wasLeftBehind = false;
    const { sink, log } = this.#parts;
    log.info({ event: 'changes.sink-recovered', sink: this.name });
    sink.recovered?.().catch((error: unknown) => {
      log.warn({ event: 'changes.recovery-not-told', sink: this.name, err: error });
    });
  }

  #reach(position: Lsn | undefined): void {
    if (position !== undefined && position > this.#position) this.#position = position;
    this.#parts.onProgress();
  }

  async #idle(signal: AbortSignal, forMs?: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    // What came between the look and this line is seen now.
    if (!this.queue.isEmpty || signal.aborted) return;
    const timer = forMs === undefined ? undefined : setTimeout(resolve, forMs);
    await promise;
    clearTimeout(timer);
  }
}
