import { describe, expect, test, vi } from 'vitest';
import { DatabaseHealthCheck } from '../../../src/domain/health/database-health-check.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { ReplicationStream } from '../../../src/lib/replication/replication-stream.ts';
import { createSlot, dropSlot } from '../../../src/lib/replication/slot.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const log = createLog({ level: 'silent' });
const check = () => new DatabaseHealthCheck({ postgres: database.postgres, log });

const apart = async (url: string, poolSize: number, look: (postgres: Postgres) => Promise<void>): Promise<void> => {
  const postgres = new Postgres(
    { url, directUrl: url, poolSize, statementTimeoutMs: 30_000, applicationName: 'test' },
    log,
  );
  await look(postgres).finally(() => postgres.close());
};

test('a database that answers is healthy, and says what it is', async () => {
  const health = check();
  expect(health.getLastHealthCheck()).toBeUndefined();
  expect(health.generateReport()).toBe('The database has not been looked at yet.\n');
  const seen = await health.check();
  expect(seen).toMatchObject({ status: 'healthy', reasons: [], connected: true });
  expect(seen.responseTimeMs).toBeGreaterThan(0);
  expect(seen.details.connectionPool).toMatchObject({ waiting: 0 });
  expect(seen.details.database).toMatchObject({
    isReplica: false,
    replayLagMs: null,
    version: expect.stringMatching(/^1[5-9]/),
  });
  expect(seen.details.database?.sizeBytes).toBeGreaterThan(1_000_000);
  expect(health.getLastHealthCheck()).toBe(seen);
  expect(health.generateReport()).toMatch(/^Database: healthy, at .*\nAnswers in /);
});

describe('of the statements of the process', () => {
  test('it knows average, p95 and p99, the slow ones without their values, and errors by their code', async () => {
    await apart(database.url, 2, async (postgres) => {
      const health = new DatabaseHealthCheck({ postgres, log });
      for (let ms = 1; ms <= 100; ms += 1) health.recordQueryMetric(ms);
      expect(postgres.queries.performance()).toEqual({ queries: 100, averageMs: 50.5, p95Ms: 95, p99Ms: 99 });
      health.recordQueryMetric(1_500, `SELECT * FROM t WHERE name = 'secret' AND n = 42 -- why`);
      await expect(postgres.query('SELECT * FROM nowhere')).rejects.toMatchObject({ code: '42P01' });
      await expect(postgres.transaction((tx) => tx.query('SELECT 1 / 0'))).rejects.toMatchObject({ code: '22012' });
      await expect(postgres.db.selectFrom('jobs').select('id').where('id', '=', 'x').execute()).rejects.toMatchObject({
        code: '22P02',
      });
      health.recordError(Object.assign(new Error('gone'), { code: 'ECONNRESET' }));
      const { details } = await health.check();
      expect(details.slowQueries).toMatchObject([
        { statement: 'SELECT * FROM t WHERE name = ? AND n = ?', durationMs: 1_500 },
      ]);
      expect(details.errors).toEqual({ '42P01': 1, '22012': 1, '22P02': 1, ECONNRESET: 1 });
      const report = health.generateReport();
      expect(report).toContain('1500 ms  SELECT * FROM t WHERE name = ? AND n = ?');
      expect(report).toContain('42P01: 1');
      expect(report).not.toContain('secret');
    });
  });

  test('every way to ask is counted', async () => {
    await apart(database.url, 2, async (postgres) => {
      await postgres.query('SELECT 1');
      await postgres.queryPrepared('SELECT 1', []);
      await postgres.db.selectFrom('queues').selectAll().execute();
      await postgres.transaction((tx) => tx.query('SELECT 1'));
      await postgres.transaction((tx) => tx.db.selectFrom('queues').selectAll().execute());
      expect(postgres.queries.performance().queries).toBe(5);
    });
  });
});

describe('it is not healthy', () => {
  test('when the server is not there', async () => {
    await apart('postgres://nobody@127.0.0.1:9/none', 2, async (postgres) => {
      const seen = await new DatabaseHealthCheck({ postgres, log }).check();
      expect(seen).toMatchObject({
        status: 'unhealthy',
        connected: false,
        responseTimeMs: null,
        reasons: ['Postgres does not answer'],
      });
      expect(seen.details.database).toBeNull();
    });
  });

  test('when all connections are taken', async () => {
    await apart(database.url, 1, async (postgres) => {
      const held = await postgres.pool.connect();
      const seen = await new DatabaseHealthCheck({ postgres, log }).check();
      held.release();
      expect(seen).toMatchObject({ status: 'unhealthy', reasons: ['no connection came free within two seconds'] });
    });
  });

  test('when one statement in twenty takes more than a second', async () => {
    await apart(database.url, 2, async (postgres) => {
      const health = new DatabaseHealthCheck({ postgres, log });
      for (let n = 0; n < 10; n += 1) health.recordQueryMetric(1_200);
      expect(await health.check()).toMatchObject({
        status: 'degraded',
        connected: true,
        reasons: ['one statement in twenty takes more than a second'],
      });
    });
  });
});

test('it shows slots, and what runs for long without its values', async () => {
  await database.query(`SELECT pg_create_physical_replication_slot('health_check', true)`);
  const client = await database.postgres.pool.connect();
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const long = client.query(`SELECT pg_sleep(60), 'secret'`).catch((error: unknown) => error);
  await vi.waitFor(
    async () => {
      const { details } = await check().check();
      expect(details.database?.runningQueries).toMatchObject([
        { statement: 'SELECT pg_sleep(?), ?', application: 'test' },
      ]);
      expect(details.database?.slots).toContainEqual(expect.objectContaining({ name: 'health_check', active: false }));
    },
    { timeout: 10_000 },
  );
  await database.query('SELECT pg_cancel_backend($1)', [rows[0]?.pid]);
  await long;
  client.release();
  await database.query(`SELECT pg_drop_replication_slot('health_check')`);
});

test('a slow reader of changes is no replica that is behind', async () => {
  const slot = `health_${process.pid}`;
  await database.query(`CREATE PUBLICATION health FOR TABLE treadle.users`);
  const admin = await database.postgres.connectDirect('slot');
  await createSlot(admin, slot);
  await admin.end();
  const applicationName = 'reads changes';
  const stream = await ReplicationStream.start({
    target: database.url,
    applicationName,
    slot,
    publications: ['health'],
    onMessage: () => undefined,
  });
  const known = await database.query(`SELECT FROM pg_stat_replication WHERE application_name = $1`, [applicationName]);
  expect(known).toHaveLength(1);
  const { details } = await check().check();
  expect(details.database?.replicas.map(({ name }) => name)).not.toContain(applicationName);
  expect(details.database?.slots).toContainEqual(expect.objectContaining({ name: slot, active: true }));
  await stream.stop();
  await dropSlot(database.postgres, slot);
});

test('it goes on looking until it is stopped', async () => {
  const health = check();
  health.startContinuousCheck(5);
  const first = await vi.waitFor(() => health.getLastHealthCheck() ?? Promise.reject(new Error('not yet')));
  await vi.waitFor(() => expect(health.getLastHealthCheck()).not.toBe(first));
  health.stopContinuousCheck();
});
