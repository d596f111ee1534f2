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
  /** Of so many entities the queue is full; 10,000 by default. */
  readonly maxWaiting?: number;
  /** Rows that take about so much fill it, too; 32 MiB by default. */
  readonly maxWaitingBytes?: number;
  /** After which a sink that fails is left behind: what is for it goes to the backlog. 5 s by default. */
  readonly patienceMs?: number;
}

/** `behind`: its changes go to the backlog, until it has taken that. */
export type SinkState = 'following' | 'failing' | 'behind';

/** A batch that the sink was given, or is about to be. */
interface UnderWay {
  batch: TakenBatch;
  /** False: it failed, or waits for those before it. */
  taken: boolean | undefined;
  /** Resolves whatever became of it. */
  ended: Promise<void>;
}

const chunkSize = 1_000;
const longestPauseMs = 5_000;

/**
 * Hands a sink its batches, in order, and as many at once as it takes. One that fails is tried again; after a while what is for it is written
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
  readonly #batchesAtOnce: number;
  /** In the order of commits: positions are told in this order too. */
  #underWay: UnderWay[] = [];
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
    this.#maxWaiting = parts.maxWaiting ?? 10_000;
    this.#maxWaitingBytes = parts.maxWaitingBytes ?? 32 * 1_048_576;
    this.#patienceMs = parts.patienceMs ?? 5_000;
    this.#batchesAtOnce = parts.sink.batchesAtOnce ?? 1;
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
    // Batches beyond the first under way still count as waiting.
    const more = this.#underWay.slice(1);
    const size = more.reduce((sum, { batch }) => sum + batch.entities.length, this.queue.size);
    const bytes = more.reduce((sum, { batch }) => sum + batch.bytes, this.queue.bytes);
    return size >= this.#maxWaiting || bytes >= this.#maxWaitingBytes;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** There is something in the queue. */
  wake(): void {
    this.#wake();
  }

  /** Ends the batches under way; what is in the queue is dropped, and comes again with the next stream. */
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
    } finally {
      await this.#allEnded();
      for (let [head] = this.#underWay; head?.taken === true; [head] = this.#underWay) this.#end(head);
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#state === 'behind') {
      await this.#stepBehind(signal);
      return;
    }
    const [head] = this.#underWay;
    if (head?.taken === true) this.#end(head);
    else if (head?.taken === false) await this.#insist(head, signal);
    else if (this.#mayTake) await this.#begin(this.queue.take(), signal);
    else await this.#woken();
  }

  /** Another batch beside one under way has to be worth requests of its own. */
  get #mayTake(): boolean {
    if (this.#underWay.some(({ taken }) => taken === false)) return false;
    const running = this.#underWay.filter(({ taken }) => taken === undefined).length;
    const isFull = this.isFull && this.queue.size > 0;
    if (running === 0) return this.queue.hasWhole || isFull;
    return running < this.#batchesAtOnce && (this.queue.wholeSize >= this.#maxWaiting / 10 || isFull);
  }

  async #begin(batch: TakenBatch, signal: AbortSignal): Promise<void> {
    const before = this.#underWay.at(-1);
    const one: UnderWay = { batch, taken: undefined, ended: Promise.resolve() };
    this.#underWay.push(one);
    // The queue has room again: it fills while this batch is written.
    this.#parts.onProgress();
    await this.#see(batch, signal);
    // Of one transaction everything has the same version, by which nothing could tell an older row from a newer one.
    if (before && batch.firstPosition !== undefined && batch.firstPosition <= before.batch.position) one.taken = false;
    else one.ended = this.#follow(one, signal);
  }

  async #follow(one: UnderWay, signal: AbortSignal): Promise<void> {
    try {
      one.taken = await this.#offer(one.batch, signal);
      // It may wait for those before it, and needs no more than its position.
      if (one.taken) one.batch = { ...one.batch, entities: [], bytes: 0 };
    } catch {
      one.taken = false;
    }
    this.#parts.onProgress();
    this.#wake();
  }

  /** Offers the oldest batch alone until it is taken, or the sink is left behind. */
  async #insist(head: UnderWay, signal: AbortSignal): Promise<void> {
    await this.#allEnded();
    for (;;) {
      const pauseMs = this.#retryAt - performance.now();
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal });
      if (await this.#offer(head.batch, signal)) {
        this.#end(head);
        return;
      }
      if (performance.now() - this.#failingSince > this.#patienceMs) break;
    }
    for (const { batch, taken } of this.#underWay) {
      if (taken !== true) await this.#backlog.add(batch);
      this.#reach(batch.completeTo);
    }
    this.#underWay = [];
    this.#state = 'behind';
    this.#wasLeftBehind = true;
    this.#parts.log.warn({ event: 'changes.sink-left-behind', sink: this.name });
  }

  /** The oldest is durable. */
  #end({ batch }: UnderWay): void {
    this.#underWay.shift();
    this.#reach(batch.completeTo);
  }

  async #allEnded(): Promise<void> {
    await Promise.all(this.#underWay.map(({ ended }) => ended));
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
    // Perhaps by the process before this one.
    this.#wasLeftBehind = true;
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

  /** Something is in the queue, a batch has ended, or the runner is being closed. */
  #woken(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    return promise;
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
