export const openStates = ['accepted', 'waiting', 'delayed', 'active', 'waiting-children'] as const;
export const finishedStates = ['completed', 'dead', 'cancelled'] as const;
export const jobStates = [...openStates, ...finishedStates] as const;
export type JobState = (typeof jobStates)[number];

export interface FailedAttempt {
  readonly attempt: number;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly error: { readonly code: string; readonly message: string; readonly stack?: string };
}

export interface JobProgress {
  readonly fraction: number;
  readonly note?: string;
}

/** A job as the ledger knows it. */
export interface JobRecord {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly state: JobState;
  readonly priority: number;
  readonly tenant: string;
  /** Null where it is too large for a list: ask for the job itself. */
  readonly payload: Readonly<Record<string, unknown>> | null;
  readonly tags: readonly string[];
  readonly attemptsAllowed: number;
  readonly attemptsMade: number;
  readonly timeoutMs: number;
  readonly deduplicationKey: string | null;
  readonly parentId: string | null;
  readonly scheduleName: string | null;
  readonly dueAt: Date;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly worker: string | null;
  readonly progress: JobProgress | null;
  readonly failures: readonly FailedAttempt[];
  readonly result: unknown;
  readonly error: FailedAttempt['error'] | null;
  /**
   * Null when it has none; `failed`: of those added since the job last waited for any. Of a finished job as they were when
   * it ended.
   */
  readonly children: { readonly total: number; readonly open: number; readonly failed: number } | null;
}

/** One page of a keyset listing; cursors are opaque. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
  readonly prevCursor: string | null;
}
