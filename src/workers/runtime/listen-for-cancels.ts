import type { Log } from '../../lib/log/create-log.ts';
import type { Platform } from '../../platform.ts';
import type { ActiveAttempts } from './active-attempts.ts';

/**
 * Aborts running attempts whose jobs are cancelled, by NOTIFY; after the connection was lost it looks for those it was not
 * told of. Answers how to stop.
 */
export const listenForCancels = (
  { postgres, subscription, log }: Pick<Platform, 'postgres' | 'subscription'> & { readonly log: Log },
  active: ActiveAttempts,
): Promise<() => Promise<void>> => {
  const cancel = (jobId: string): void => active.find(jobId)?.abort('cancelled', 'the job was cancelled');
  const lookForMissed = async (): Promise<void> => {
    const { rows } = await postgres.query<{ id: string }>(
      `SELECT id FROM treadle.jobs WHERE id = ANY ($1) AND cancel_requested
       UNION ALL SELECT id FROM treadle.finished_jobs WHERE id = ANY ($1) AND state = 'cancelled'`,
      [active.all().map(({ jobId }) => jobId)],
    );
    for (const { id } of rows) cancel(id);
  };
  return subscription.listen('treadle_cancel', cancel, () => {
    lookForMissed().catch((error: unknown) => log.warn({ event: 'worker.cancels-unknown', err: error }));
  });
};
