import { expect } from 'vitest';
import { z } from 'zod';
import { createLog } from '../../src/lib/log/create-log.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { handle } from '../../src/queues/handle.ts';
import type { Platform } from '../../src/platform.ts';
import { Reconciler } from '../../src/queues/relay/reconciler.ts';
import type { TestDatabase } from '../services/database.ts';

/** A job whose effect is a row, written in the transaction that completes it. */
export const effect = defineJob({
  name: 'things.effect',
  queue: 'things',
  payload: z.object({ n: z.number() }),
  timeoutMs: 1_000,
});

export const effectHandler = handle(effect, ({ payload: { n }, platform, completeIn }) =>
  platform.postgres.transaction(async (tx) => {
    await tx.query('INSERT INTO effects (n) VALUES ($1)', [n]);
    return completeIn(tx, n);
  }),
);

/** How many effects there are. */
export const countEffects = async (database: TestDatabase): Promise<number> => {
  const [row] = await database.query<{ done: number }>('SELECT count(*)::int AS done FROM effects');
  return row?.done ?? 0;
};

/**
 * Waits until every job is done, each with one effect. What a failover lost is found by the reconciler, which here does not
 * wait for a minute.
 */
export const expectEachOnce = async (platform: Platform, database: TestDatabase, jobs: number): Promise<void> => {
  const log = createLog({ level: 'silent' });
  const { postgres, transports, jobs: store } = platform;
  const cancelChildren = (id: string): Promise<void> => store.cancelChildren(id);
  const reconciler = new Reconciler(
    { postgres, transports: await transports.all(), log, cancelChildren },
    { graceMs: 1_000 },
  );
  const open = async (): Promise<number> => {
    await reconciler.reconcile();
    const [row] = await database.query<{ open: number }>('SELECT count(*)::int AS open FROM treadle.jobs');
    return row?.open ?? -1;
  };
  await expect.poll(open, { timeout: 40_000, interval: 500 }).toBe(0);
  const [counts] = await database.query<{ rows: number; numbers: number }>(
    'SELECT count(*)::int AS rows, count(DISTINCT n)::int AS numbers FROM effects',
  );
  expect(counts).toEqual({ rows: jobs, numbers: jobs });
};
