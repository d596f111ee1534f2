import { withTimeout } from './with-timeout.ts';

export type DropReason = 'full' | 'closed';

export interface WriteBehindOptions<T> {
  /** Writes a batch. When it throws, the same items are given again a moment later, others perhaps behind them. */
  readonly write: (items: readonly T[]) => Promise<void>;
  /** No more than so many are kept, those that are being written included. */
  readonly maxPending: number;
  readonly maxBatch: number;
  /** How long the first item waits for others. After failures up to half a minute. */
  readonly intervalMs: number;
  readonly onDropped: (count: number, reason: DropReason) => void;
  readonly onError: (error: unknown) => void;
}

const longestWaitMs = 30_000;

/** Takes items without waiting, and writes them in batches a moment later. What can't be kept in memory is dropped. */
export class WriteBehind<T> {
  readonly #options: WriteBehindOptions<T>;
  readonly #pending: T[] = [];
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> | undefined;
  #nextTurn: Promise<void> | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: WriteBehindOptions<T>) {
    this.#options = options;
  }

  get size(): number {
    return this.#pending.length;
  }

  /** Never throws. */
  add(item: T): void {
    const { maxPending, onDropped } = this.#options;
    if (this.#closed) return onDropped(1, 'closed');
    if (this.#pending.length >= maxPending) return onDropped(1, 'full');
    this.#pending.push(item);
    this.#schedule();
  }

  /** Tries to write what was added before; whether it succeeded is told to `onError` only. */
  flush(): Promise<void> {
    if (this.#turn === undefined) {
      this.#turn = this.#drain().finally(() => {
        this.#turn = undefined;
      });
      return this.#turn;
    }
    this.#nextTurn ??= this.#turn.then(() => {
      this.#nextTurn = undefined;
      return this.flush();
    });
    return this.#nextTurn;
  }

  /** Tries once more to write what is left, for up to `timeoutMs`, and drops what can't be. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await withTimeout(this.flush(), timeoutMs, 'the last write').catch((error: unknown) =>
      this.#options.onError(error),
    );
    const left = this.#pending.splice(0).length;
    if (left > 0) this.#options.onDropped(left, 'closed');
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#closed || this.#pending.length === 0) return;
    const waitMs = Math.min(longestWaitMs, this.#options.intervalMs * 2 ** Math.min(this.#failures, 10));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, waitMs);
    this.#timer.unref();
  }

  /** Writes what is pending when it begins. */
  async #drain(): Promise<void> {
    const { write, maxBatch, onError } = this.#options;
    try {
      for (let left = this.#pending.length; left > 0;) {
        const batch = this.#pending.slice(0, Math.min(left, maxBatch));
        await write(batch);
        this.#pending.splice(0, batch.length);
        left -= batch.length;
      }
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      onError(error);
    }
    this.#schedule();
  }
}
