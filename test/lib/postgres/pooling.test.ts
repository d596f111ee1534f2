import { afterEach, expect, test } from 'vitest';
import { toAppError } from '../../../src/lib/errors/classify.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });
const open: Postgres[] = [];
const openPostgres = (poolSize: number, statementTimeoutMs = 30_000): Postgres => {
  const { url } = database;
  const postgres = new Postgres(
    { url, directUrl: url, poolSize, statementTimeoutMs, applicationName: `pool-of-${poolSize}` },
    createLog({ level: 'silent' }),
  );
  open.push(postgres);
  return postgres;
};
afterEach(async () => {
  for (const postgres of open.splice(0)) await postgres.close();
});

/** Transactions that each hold a connection until they are let go; `held` counts those that have one. */
const hold = (postgres: Postgres, count: number) => {
  const state = { held: 0, most: 0 };
  const gates = Array.from({ length: count }, () => Promise.withResolvers<void>());
  const done = gates.map(({ promise }) =>
    postgres.transaction(async (tx) => {
      state.held += 1;
      state.most = Math.max(state.most, state.held);
      await tx.query('SELECT 1');
      await promise;
      state.held -= 1;
    }),
  );
  return { state, done, letGo: (n: number) => gates.splice(0, n).forEach(({ resolve }) => resolve()) };
};
const statusOf = (postgres: Postgres) => () => postgres.getConnectionStatus();

test('a pool that grows serves who waits at once, and its status counts them', async () => {
  const postgres = openPostgres(2);
  const { done, letGo } = hold(postgres, 7);
  await expect.poll(statusOf(postgres)).toEqual({ size: 2, active: 2, idle: 0, waiting: 5 });
  postgres.configurePooling(5);
  await expect.poll(statusOf(postgres)).toEqual({ size: 5, active: 5, idle: 0, waiting: 2 });
  letGo(7);
  await Promise.all(done);
  expect(statusOf(postgres)()).toEqual({ size: 5, active: 0, idle: 5, waiting: 0 });
});

test('a pool that shrinks closes connections as they come back, and who waits is served by those left', async () => {
  const postgres = openPostgres(6);
  const first = hold(postgres, 6);
  await expect.poll(() => first.state.held).toBe(6);
  const second = hold(postgres, 20);
  postgres.configurePooling(2);
  expect(statusOf(postgres)()).toEqual({ size: 6, active: 6, idle: 0, waiting: 20 });
  first.letGo(4);
  await expect.poll(statusOf(postgres)).toEqual({ size: 2, active: 2, idle: 0, waiting: 20 });
  first.letGo(2);
  await Promise.all(first.done);
  await expect.poll(() => second.state.held).toBe(2);
  second.letGo(20);
  await Promise.all(second.done);
  expect(second.state.most).toBe(2);
  expect(statusOf(postgres)()).toEqual({ size: 2, active: 0, idle: 2, waiting: 0 });
});

test('idle connections that are too many are closed, and the pool can grow again', async () => {
  const postgres = openPostgres(6);
  const { done, letGo } = hold(postgres, 6);
  letGo(6);
  await Promise.all(done);
  postgres.configurePooling(3);
  await expect.poll(statusOf(postgres)).toEqual({ size: 3, active: 0, idle: 3, waiting: 0 });
  const atServer = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'pool-of-6'`;
  await expect.poll(() => database.query(atServer)).toEqual([{ count: 3 }]);
  postgres.configurePooling(8);
  const again = hold(postgres, 8);
  await expect.poll(() => again.state.held).toBe(8);
  again.letGo(8);
  await Promise.all(again.done);
});

test('prepared statements have half as many connections', async () => {
  const postgres = openPostgres(8);
  const backends = async () => {
    const asked = Array.from({ length: 30 }, () =>
      postgres.queryPrepared<{ pid: number }>('SELECT pg_backend_pid() AS pid, pg_sleep($1)', [0.005]),
    );
    return new Set((await Promise.all(asked)).map(({ rows }) => rows[0]?.pid)).size;
  };
  expect(await backends()).toBe(4);
  postgres.configurePooling(2);
  await expect.poll(statusOf(postgres)).toMatchObject({ size: 1 });
  expect(await backends()).toBe(1);
  postgres.configurePooling(6);
  expect(await backends()).toBe(3);
});

test.for([0, 1, 2.5, -4, Number.NaN, 1_001])('a pool of %s is refused', (poolSize) => {
  const postgres = openPostgres(2);
  expect(() => postgres.configurePooling(poolSize)).toThrow(
    expect.objectContaining({
      code: 'VALIDATION_ERROR',
      details: { faults: [expect.objectContaining({ path: 'poolSize' })] },
    }),
  );
});

test('a statement that takes longer than its time-out ends with an error that says so, and others go on', async () => {
  const postgres = openPostgres(2, 100);
  const slow = Array.from({ length: 4 }, () => postgres.query('SELECT pg_sleep(30)').catch(toAppError));
  for (const error of await Promise.all(slow)) expect(error).toMatchObject({ code: 'TIMEOUT', status: 504 });
  expect(await postgres.query('SELECT 1 AS one')).toMatchObject({ rows: [{ one: 1 }] });
  expect(statusOf(postgres)()).toMatchObject({ active: 0, waiting: 0 });
});
