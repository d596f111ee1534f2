import { createPostgresBackend, withBackend } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { createPool } from '../../../src/lib/postgres/pool.ts';
import { SharedListenPool } from '../../../src/queues/bullmq/shared-listen-pool.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const bull = withBackend(createPostgresBackend);
const size = 3;
let pool: SharedListenPool;

beforeAll(() => {
  const options = { url: database.url, max: size, statementTimeoutMs: 60_000, applicationName: 'test' };
  pool = new SharedListenPool(
    createPool({ ...options, settings: { search_path: 'bullmq' } }, createLog({ level: 'silent' })),
  );
});
afterAll(() => pool.end());

const worker = (name: string) =>
  new bull.Worker(name, () => Promise.resolve(null), { connection: pool.asPgPool(), autorun: false });

test('locks are renewed while every other connection is busy', async () => {
  const renewing = worker('renewing');
  await renewing.waitUntilReady();
  // As a worker that runs does.
  await pool.query('LISTEN renewing');
  const lockOf = 'SELECT pg_advisory_xact_lock(1)';
  const held = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const holding = database.postgres.transaction(async (tx) => {
    await tx.query(lockOf);
    held.resolve();
    await letGo.promise;
  });
  await held.promise;
  const busy = Array.from({ length: size * 2 }, () => pool.query(lockOf));
  // A lock that nobody holds is lost, which is an answer all the same.
  expect(await renewing.extendJobLocks(['none'], ['of these'], 1_000)).toEqual(['none']);
  letGo.resolve();
  await Promise.all([holding, ...busy]);
  await renewing.close();
});

test('workers that begin to listen at once take turns on their connection', async () => {
  const warnings: string[] = [];
  const note = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', note);
  const clients = await Promise.all(Array.from({ length: 5 }, () => pool.connect()));
  await Promise.all(clients.map((client, n) => client.query(`LISTEN channel_${n}`)));
  const heard = clients.map((client) => new Promise((resolve) => client.on('notification', resolve)));
  await database.query(`SELECT pg_notify('channel_4', 'to all')`);
  expect(await Promise.all(heard)).toMatchObject(clients.map(() => ({ channel: 'channel_4', payload: 'to all' })));
  process.off('warning', note);
  expect(warnings).toEqual([]);
  for (const client of clients) client.release();
});
