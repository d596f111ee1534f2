import { setTimeout as delay } from 'node:timers/promises';
import { isConflictOfTransactions, isConnectionError } from '../errors/classify.ts';

/** A batch that lost to another writer (a deadlock) is written again so often before it is divided. */
const maxConflicts = 10;

export interface GroupCommitOptions<T, R> {
  /** Writes a batch and answers one result an item, in order. All or nothing: when it throws, nothing was written. */
  readonly write: (items: readonly T[]) => Promise<readonly R[]>;
  readonly maxBatch: number;
  /** How many batches may be under way at once; 1 by default. */
  readonly writers?: number;
  /**
   * Given: a batch whose connection failed is written again until it succeeds or the group is closed, and this is told of
   * each failure. Absent: the items are rejected.
   */
  readonly onConnectionError?: (error: unknown) => void;
}

interface Pending<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: what arrives while a batch is being written makes the next batch, so that a single item waits for
 * nobody and many items share one round trip. A batch that fails for another reason than the connection is cut in two
 * until the items at fault stand alone.
 */
export class GroupCommit<T, R> {
  readonly #options: GroupCommitOptions<T, R>;
  readonly #closing = new AbortController();
  #pending: Pending<T, R>[] = [];
  readonly #writing = new Set<Promise<void>>();
  #writers = 0;

  constructor(options: GroupCommitOptions<T, R>) {
    this.#options = options;
  }

  /** Resolves with the item's result once its batch is written. */
  submit(item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#pending.push({ item, resolve, reject });
      if (this.#writers < (this.#options.writers ?? 1)) this.#startWriter();
    });
  }

  /** Writes what is pending, then ends. While the server can't be reached, gives up and rejects what is left. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#writing);
  }

  #startWriter(): void {
    this.#writers += 1;
    const writer = this.#drain().finally(() => this.#writing.delete(writer));
    this.#writing.add(writer);
  }

  async #drain(): Promise<void> {
    // Lets everything that was submitted in the same turn of the loop into the first batch.
    await Promise.resolve();
    try {
      while (this.#pending.length > 0) await this.#write(this.#pending.splice(0, this.#options.maxBatch));
    } finally {
      // In the same turn in which nothing was found pending: what comes next starts a writer of its own.
      this.#writers -= 1;
    }
  }

  async #write(batch: readonly Pending<T, R>[]): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const results = await this.#options.write(batch.map(({ item }) => item));
        for (const [index, result] of results.entries()) batch[index]?.resolve(result);
        return;
      } catch (error) {
        if (isConflictOfTransactions(error) && attempt < maxConflicts) continue;
        if (!isConnectionError(error)) return this.#divide(batch, error);
        this.#options.onConnectionError?.(error);
        if (!this.#options.onConnectionError || this.#closing.signal.aborted) {
          for (const { reject } of batch) reject(error);
          return;
        }
        await delay(Math.min(1_000, 20 * 2 ** attempt), undefined, { signal: this.#closing.signal }).catch(
          () => undefined,
        );
      }
    }
  }

  async #divide(batch: readonly Pending<T, R>[], error: unknown): Promise<void> {
    if (batch.length <= 1) {
      for (const { reject } of batch) reject(error);
      return;
    }
    const middle = Math.ceil(batch.length / 2);
    await this.#write(batch.slice(0, middle));
    await this.#write(batch.slice(middle));
  }
}
