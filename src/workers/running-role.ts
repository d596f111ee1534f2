/** A role that runs in this process. */
export interface RunningRole {
  /** Ends the role; jobs that run are finished or handed back within the grace period. */
  close(): Promise<void>;
}
