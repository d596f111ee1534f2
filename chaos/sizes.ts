/** How large a run is. */
export interface Size {
  /** A case; children of flows are counted. */
  readonly jobs: number;
  readonly lockMs: number;
  readonly mostFaults: number;
  readonly workers: number;
  /** Jobs that a worker runs at once, of each queue. */
  readonly concurrency: number;
}

export const fullRun: Size = { jobs: 20_000, lockMs: 2_000, mostFaults: 10, workers: 3, concurrency: 20 };
/** For CI. */
export const shortRun: Size = { jobs: 300, lockMs: 1_000, mostFaults: 2, workers: 2, concurrency: 5 };
