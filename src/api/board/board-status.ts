import type { JobState } from '../../queues/ledger/job-record.ts';

/** The board's tabs that Treadle fills, in their order. */
export const boardStatuses = ['active', 'waiting', 'delayed', 'completed', 'failed', 'waiting-children'] as const;
export type BoardStatus = (typeof boardStatuses)[number];

/** Which of Treadle's states a tab shows: the board has none for jobs that are accepted, dead or cancelled. */
export const statesOf: Readonly<Record<BoardStatus, readonly JobState[]>> = {
  active: ['active'],
  waiting: ['accepted', 'waiting'],
  'waiting-children': ['waiting-children'],
  delayed: ['delayed'],
  completed: ['completed'],
  failed: ['dead', 'cancelled'],
};

const statusOfState: Readonly<Record<JobState, BoardStatus>> = {
  active: 'active',
  accepted: 'waiting',
  waiting: 'waiting',
  'waiting-children': 'waiting-children',
  delayed: 'delayed',
  completed: 'completed',
  dead: 'failed',
  cancelled: 'failed',
};

/** The tab a job in this state is shown under. */
export const statusOf = (state: JobState): BoardStatus => statusOfState[state];

export const isBoardStatus = (text: string): text is BoardStatus => text in statesOf;
