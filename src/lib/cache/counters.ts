/** Counters and sets, which all processes share: each change is one step. Expiry is counted from the last change. */
export interface Counters {
  /** Answers the sum. @throws AppError VALIDATION_ERROR for what is no counter; the store's. */
  increment(key: string, by: number, ttlMs: number): Promise<number>;
  /** Counters among the keys. */
  read(keys: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Answers how many were new. */
  addToSet(key: string, members: readonly string[], ttlMs: number): Promise<number>;
  /** In no order; up to `limit`. */
  getSet(key: string, limit: number): Promise<readonly string[]>;
  /** False: they may still be there. */
  remove(keys: readonly string[]): Promise<boolean>;
  clear(): Promise<boolean>;
}
