import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../lib/log/create-log.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import { awaitVisible } from './await-visible.ts';
import type { ChangeBatch, Sink, Watch } from './change-batch.ts';
import { ChangeBacklog } from './change-backlog.ts';
import { SinkQueue, type TakenBatch } from './sink-queue.ts';

export interface SinkRunnerParts {
  readonly sink: Sink;
  readonly db: Queryable;
  readonly log: Log;
  /** Up to where it has everything, from {@link SinkPositions}. */
  readonly position: Lsn;
  /** Called when it has come further, or has room again. */
  readonly onProgress: () => void;
  /** Called once when Postgres fails: the runner has ended, and the stream has to begin again where it was confirmed. */
  readonly onFailure: (error: unknown) => void;
  /** Of so many entities the queue is full; 20,000 by default. */
  readonly maxWaiting?: number;
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
  readonly queue = new SinkQueue();
  readonly #parts: SinkRunnerParts;
  readonly #backlog: ChangeBacklog;
  readonly #maxWaiting: number;
  readonly #patienceMs: number;
  readonly #closing = new AbortController();
  #position: Lsn;
  /** Everything up to here is visible to whoever reads now. */
  #visibleTo: Lsn = 0n;
  #state: SinkState = 'behind';
  #failures = 0;
  #failingSince = 0;
  #retryAt = 0;
  #wake: () => void = () => undefined;
  #running: Promise<void> | undefined;

  constructor(parts: SinkRunnerParts) {
    this.#parts = parts;
    this.#backlog = new ChangeBacklog(parts.db, parts.sink.name);
    this.#position = parts.position;
    this.#maxWaiting = parts.maxWaiting ?? 20_000;
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

  get isFull(): boolean {
    return this.queue.size >= this.#maxWaiting;
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
        this.#parts.log.warn({ event: 'changes.sink-left-behind', sink: this.name });
        return;
      }
      await delay(this.#retryAt - performance.now(), undefined, { signal });
    }
    this.#reach(batch.completeTo);
  }

  /** New changes are written down; the oldest of those that are is offered. */
  async #stepBehind(signal: AbortSignal): Promise<void> {
    if (!this.queue.isEmpty) {
      const batch = this.queue.take();
      await this.#see(batch, signal);
      await this.#backlog.add(batch);
      this.#reach(batch.completeTo);
    }
    if (performance.now() < this.#retryAt) {
      await this.#idle(signal, this.#retryAt - performance.now());
      return;
    }
    const chunk = await this.#backlog.next(chunkSize);
    if (chunk === undefined) {
      this.#state = 'following';
      return;
    }
    const taken = await this.#offer({ ...chunk, xids: [], committedAt: this.#visibleTo }, signal);
    if (taken) await this.#backlog.remove(chunk);
  }

  /** From here on whoever reads sees what the batch tells of. */
  async #see({ xids, committedAt }: TakenBatch, signal: AbortSignal): Promise<void> {
    if (xids.length === 0) return;
    await awaitVisible(this.#parts.db, xids, signal);
    this.#visibleTo = committedAt;
  }

  async #offer(batch: ChangeBatch, signal: AbortSignal): Promise<boolean> {
    if (batch.entities.length === 0 && batch.truncated.length === 0) return true;
    try {
      await this.#parts.sink.apply(batch, signal);
      if (this.#state === 'failing') this.#state = 'following';
      this.#failures = 0;
      this.#retryAt = 0;
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (this.#failures === 0) this.#failingSince = performance.now();
      if (this.#state === 'following') this.#state = 'failing';
      this.#retryAt = performance.now() + Math.min(longestPauseMs, 100 * 2 ** this.#failures);
      this.#failures += 1;
      this.#parts.log.warn({ event: 'changes.sink-failed', sink: this.name, failures: this.#failures, err: error });
      return false;
    }
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
