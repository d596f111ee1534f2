/** How large a run of the oracle is. */
export interface SyncSize {
  /** So many keys are made at least, most of them touched once. */
  readonly keys: number;
  readonly writers: number;
  /** Rows of a bulk load at most. */
  readonly mostRows: number;
  /** Of the units that make rows so many are bulk loads. */
  readonly bulkShare: number;
  /** Of all units so many empty a table. */
  readonly truncateShare: number;
  /** Units of work a second at most; see `planUnit`. */
  readonly unitsPerSecond: number;
  /** How often each fault is made. */
  readonly rounds: number;
}

export const fullSync: SyncSize = {
  keys: 40_000,
  writers: 12,
  mostRows: 2_000,
  bulkShare: 0.004,
  truncateShare: 0.000_5,
  unitsPerSecond: 40,
  rounds: 4,
};
/** For CI. */
export const shortSync: SyncSize = {
  keys: 3_000,
  writers: 8,
  mostRows: 150,
  bulkShare: 0.1,
  truncateShare: 0.004,
  unitsPerSecond: 12,
  rounds: 1,
};
/** With a standby that is slow on purpose, for which each commit waits. */
export const standbySync: SyncSize = { ...shortSync, keys: 1_000 };
