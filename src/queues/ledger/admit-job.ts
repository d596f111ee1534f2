import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Delivery } from '../transport.ts';

export type Admission = 'run' | 'gone' | 'cancelled';

/** Whether an item that may have been started before still stands for an open job. */
export const admitJob = async (db: Queryable, { jobId, envelope }: Delivery): Promise<Admission> => {
  const { rows } = await db.query<{ returns: number; cancel_requested: boolean }>(
    'SELECT returns, cancel_requested FROM treadle.jobs WHERE id = $1',
    [jobId],
  );
  const [row] = rows;
  if (row?.returns !== envelope.returns) return 'gone';
  return row.cancel_requested ? 'cancelled' : 'run';
};

const adopt = new URL('./adopt-job.sql', import.meta.url);

/** Makes a ledger row for a job that was enqueued straight to its queue; does nothing when there is one. */
export const adoptJob = async (
  db: Queryable,
  { jobId, envelope, queue, name }: Delivery,
  priority: number,
): Promise<void> => {
  const { payload, tenant, attemptsAllowed, attemptsMade, timeoutMs, traceparent } = envelope;
  const values = [
    jobId,
    name,
    queue,
    priority,
    tenant,
    JSON.stringify(payload),
    attemptsAllowed,
    attemptsMade,
    timeoutMs,
    traceparent ?? null,
  ];
  await db.query(loadSql(adopt), values);
};
