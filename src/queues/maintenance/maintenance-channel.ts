import type { Queryable } from '../../lib/postgres/queryable.ts';

/** Says by NOTIFY that a queue has something for its consumers; the payload is the queue's name. */
export const maintenanceChannel = 'treadle_maintenance';

export const wakeConsumers = async (db: Queryable, queue: string): Promise<void> => {
  await db.query('SELECT pg_notify($1, $2)', [maintenanceChannel, queue]);
};
