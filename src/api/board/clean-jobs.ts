import { AppError } from '../../lib/errors/app-error.ts';
import type { JobRecord, JobState } from '../../queues/ledger/job-record.ts';
import type { BoardSource } from './board-source.ts';

/** How many jobs one press of a button takes out. */
const maxRemoved = 5_000;
const atOnce = 8;

const lastChange = ({ finishedAt, startedAt, createdAt }: JobRecord): number =>
  (finishedAt ?? startedAt ?? createdAt).getTime();

/** Running jobs stay: removing one is a conflict. One that is gone already is no fault either. */
const removeIfIdle = async (source: BoardSource, id: string): Promise<void> => {
  try {
    await source.remove(id);
  } catch (error) {
    const harmless =
      error instanceof AppError && (error.code === 'DATA_CONSISTENCY_ERROR' || error.code === 'NOT_FOUND');
    if (!harmless) throw error;
  }
};

/** Takes up to 5,000 jobs out that are in one of the states and have not changed for `graceMs`. */
export const removeOld = async (
  source: BoardSource,
  queue: string,
  states: readonly JobState[],
  graceMs: number,
): Promise<void> => {
  const before = Date.now() - graceMs;
  const listed = await source.list(queue, states, maxRemoved);
  const old = listed.filter((job) => lastChange(job) <= before).values();
  const worker = async (): Promise<void> => {
    for (const { id } of old) await removeIfIdle(source, id);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
};
