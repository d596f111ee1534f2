import { setTimeout as delay } from 'node:timers/promises';
import { isConnectionError } from '../errors/classify.ts';

export interface GroupCommitOptions<T, R> {
  /** Writes a batch and answers one result an item, in order. All or nothing: when it throws, nothing was written. */
  readonly write: (items: readonly T[]) => Promise<readonly R[]>;
  readonly maxBatch: number;
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
  #writing: Promise<void> | undefined;

  constructor(options: GroupCommitOptions<T, R>) {
    this.#options = options;
  }

  /** Resolves with the item's result once its batch is written. */
  submit(item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#pending.push({ item, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  /** Writes what is pending, then ends. While the server can't be reached, gives up and rejects what is left. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
  }

  async #drain(): Promise<void> {
    // Lets everything that was submitted in the same turn of the loop into the first batch.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0, this.#options.maxBatch);
      await this.#write(batch);
    }
    this.#writing = undefined;
  }

  async #write(batch: readonly Pending<T, R>[]): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const results = await this.#options.write(batch.map(({ item }) => item));
        for (const [index, result] of results.entries()) batch[index]?.resolve(result);
        return;
      } catch (error) {
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
