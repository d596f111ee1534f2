import { bulkhead, type BulkheadPolicy } from 'cockatiel';

/** Lets so many pieces of work be under way at once; whatever is more waits for its turn, in the order in which it came. */
export class AtOnce {
  readonly #policy: BulkheadPolicy;

  constructor(limit: number) {
    this.#policy = bulkhead(limit, Number.POSITIVE_INFINITY);
  }

  /** @throws what `work` throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    return this.#policy.execute(work);
  }
}
