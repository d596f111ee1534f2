import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { migrate } from '../../../src/jobs/maintenance/contract.ts';
import { migrateHandler } from '../../../src/jobs/maintenance/handler.ts';
import type { PayloadInputOf } from '../../../src/queues/define-job.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { factors, makeItems, spareItem } from '../../lib/migrations/items.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const treadle = useTreadle({
  database,
  contracts: [],
  handlers: [migrateHandler],
  env: { TREADLE_JOBS: path.join(import.meta.dirname, '../../processes/data-migration-jobs.ts') },
});
beforeEach(async () => {
  await database.query('TRUNCATE treadle.data_migrations CASCADE');
  await makeItems(database.postgres, 40);
});

const run = async (payload: PayloadInputOf<typeof migrate>): Promise<JobRecord | undefined> => {
  const { enqueuer, jobs } = treadle.platform;
  const { id } = await enqueuer.enqueue(migrate, payload);
  return jobs.wait(id, 20_000);
};

test('data migrations run as a job, with progress, and are taken back by another', async () => {
  expect(await run({ direction: 'up' })).toMatchObject({
    state: 'completed',
    result: { migrations: [{ name: 'double-values', state: 'validated', changed: 40 }] },
    progress: { note: 'double-values: 40 of 40' },
  });
  expect(await factors(database.postgres)).toEqual({ 2: 40 });
  expect(await run({ direction: 'down', name: 'double-values' })).toMatchObject({
    state: 'completed',
    result: { migrations: [{ name: 'double-values', state: 'undone', changed: 0, undone: 40 }] },
  });
  expect(await factors(database.postgres)).toEqual({ 1: 40 });
});

test('a job for a migration that nobody knows is a dead letter that says so', async () => {
  expect(await run({ direction: 'up', name: 'no-such-thing' })).toMatchObject({
    state: 'dead',
    attemptsMade: 1,
    error: { code: 'NOT_FOUND', message: 'data migration "no-such-thing" does not exist' },
  });
});

test('a validation that finds faults makes the job a dead letter that names them', async () => {
  await spareItem(database.postgres, 7);
  expect(await run({ direction: 'up' })).toMatchObject({
    state: 'dead',
    attemptsMade: 1,
    error: { code: 'DATA_CONSISTENCY_ERROR', message: 'data migration double-values failed: item 7 was left out' },
  });
});
