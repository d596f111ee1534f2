import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { prune, reconcile, redrive, seed } from '../../../src/jobs/maintenance/contract.ts';
import { pruneExpired } from '../../../src/jobs/maintenance/prune-expired.ts';
import { pruneHandler, reconcileHandler, redriveHandler, seedHandler } from '../../../src/jobs/maintenance/handler.ts';
import { builtInSchedules } from '../../../src/jobs/built-in-schedules.ts';
import { flushAnalytics } from '../../../src/jobs/search/contract.ts';
import { flushAnalyticsHandler } from '../../../src/jobs/search/handler.ts';
import { defineJob } from '../../../src/queues/define-job.ts';
import { handle } from '../../../src/queues/handle.ts';
import { completed, permanent } from '../../../src/queues/outcome.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { syncBuiltIns } from '../../../src/queues/schedules/sync-built-ins.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase } from '../../services/database.ts';

const fragile = defineJob({ name: 'tests.fragile', payload: z.object({ number: z.number() }) });
let broken = true;
const ran: { readonly number: number }[] = [];

const database = useDatabase();
const treadle = useTreadle({
  database,
  contracts: [fragile],
  handlers: [
    pruneHandler,
    redriveHandler,
    reconcileHandler,
    seedHandler,
    flushAnalyticsHandler,
    handle(fragile, ({ payload }) => {
      if (broken) return Promise.resolve(permanent(new Error('broken')));
      ran.push({ number: payload.number });
      return Promise.resolve(completed(undefined));
    }),
  ],
});
afterEach(() => {
  broken = true;
});

const finished = async (id: string): Promise<JobRecord> => {
  const job = await treadle.platform.jobs.wait(id, 20_000);
  if (job?.state !== 'completed') throw new Error(`the job ended as ${job?.state}`);
  return job;
};

/** A day's partition, and one finished job in it. */
const finishedOn = async (kind: 'done' | 'dead', daysAgo: number): Promise<string> => {
  const [{ day, suffix } = { day: '', suffix: '' }] = await database.query<{ day: string; suffix: string }>(
    `SELECT day::text, to_char(day, 'YYYYMMDD') AS suffix
     FROM (SELECT ((now() AT TIME ZONE 'UTC')::date - $1::int) AS day) AS days`,
    [daysAgo],
  );
  const partition = `finished_jobs_${kind}_${suffix}`;
  await database.query(
    `CREATE TABLE IF NOT EXISTS treadle.${partition} PARTITION OF treadle.finished_jobs_${kind}
     FOR VALUES FROM ('${day} 00:00:00+00') TO ('${day} 00:00:00+00'::timestamptz + interval '1 day')`,
  );
  await insertFinished(kind, `('${day} 12:00:00+00')::timestamptz`, 1);
  return partition;
};

const insertFinished = async (kind: 'done' | 'dead', at: string, jobs: number): Promise<void> => {
  await database.query(
    `INSERT INTO treadle.finished_jobs (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed,
       attempts_made, timeout_ms, due_at, created_at, finished_at, failures)
     SELECT gen_random_uuid(), 'tests.old', 'default', $1::treadle.job_state, 5, '', '{}', '{}', 1, 1, 1000, ${at}, ${at}, ${at}, '[]'
     FROM generate_series(1, $2::int)`,
    [kind === 'done' ? 'completed' : 'dead', jobs],
  );
};

const oldJobs = async (): Promise<number> =>
  (await database.query(`SELECT 1 FROM treadle.finished_jobs WHERE name = 'tests.old'`)).length;

test('prune drops the days past their retention whole, and keeps the younger ones', async () => {
  const gone = [await finishedOn('done', 8), await finishedOn('done', 40), await finishedOn('dead', 31)].toSorted();
  await finishedOn('done', 7);
  await finishedOn('dead', 30);
  await finishedOn('dead', 8);
  const young = await oldJobs();
  await insertFinished('done', `now() - interval '3 years'`, 5_001);
  await insertFinished('dead', `now() - interval '3 years'`, 3);
  await database.query(`
    INSERT INTO treadle.idempotency_keys VALUES ('t', 'old', 'h', gen_random_uuid(), now() - interval '25 hours'),
      ('t', 'new', 'h', gen_random_uuid(), now() - interval '23 hours');
    INSERT INTO treadle.once_keys VALUES ('old', now() - interval '31 days'), ('new', now() - interval '29 days');
    INSERT INTO treadle.events (type, aggregate_id, version, data, recorded_at) VALUES
      ('tests.old', gen_random_uuid(), 1, '{}', now() - interval '8 days'), ('tests.new', gen_random_uuid(), 1, '{}', now() - interval '6 days');
    INSERT INTO treadle.schedules (name, job_name, cron) VALUES ('s', 'tests.fragile', '0 0 1 1 *');
    INSERT INTO treadle.schedule_fires VALUES ('s', '2020-01-01', gen_random_uuid(), now() - interval '91 days'),
      ('s', '2021-01-01', gen_random_uuid(), now() - interval '89 days');
    INSERT INTO treadle.throttles VALUES ('tests.old', '', 'k', now() - interval '1 second'), ('tests.new', '', 'k', now() + interval '1 hour');
    INSERT INTO treadle.rate_buckets VALUES ('default', 'tenant', 'gone', '', 0, now() - interval '25 hours'),
      ('default', 'tenant', 'here', '', 0, now() - interval '23 hours');
    INSERT INTO treadle.rate_limits VALUES ('over', 1, (extract(epoch FROM now()) - 120) * 1000),
      ('counting', 1, (extract(epoch FROM now()) + 120) * 1000);
    INSERT INTO treadle.sagas (name, input, state, job_id, error, finished_at) VALUES
      ('tests.old', '{}', 'completed', gen_random_uuid(), NULL, now() - interval '8 days'),
      ('tests.old', '{}', 'failed', gen_random_uuid(), '{}', now() - interval '31 days'),
      ('tests.new', '{}', 'compensated', gen_random_uuid(), '{}', now() - interval '6 days'),
      ('tests.new', '{}', 'failed', gen_random_uuid(), '{}', now() - interval '8 days'),
      ('tests.new', '{}', 'running', gen_random_uuid(), NULL, NULL);
    INSERT INTO treadle.workspaces (name) VALUES ('searched');
    INSERT INTO treadle.searches (search_id, workspace_id, day, user_id, query, normalized_query, mode, filters, result_count,
        response_time_ms, backend, degraded, searched_at)
      SELECT gen_random_uuid(), w.id, now() - age, 'local', query, query, 'hybrid', '{}', 1, 5, 'postgres', false, now() - age
      FROM treadle.workspaces AS w, (VALUES ('old', interval '91 days'), ('new', interval '89 days')) AS given (query, age)
      WHERE w.name = 'searched';
    INSERT INTO treadle.search_days (workspace_id, day, searches, without_results, degraded, response_time_ms, response_times)
      SELECT w.id, now() - age, 1, 0, 0, 5, '{}'
      FROM treadle.workspaces AS w, unnest(ARRAY['402 days', '370 days']::interval[]) AS age WHERE w.name = 'searched';
    INSERT INTO treadle.search_queries (workspace_id, day, query, searches, without_results, last_at)
      SELECT workspace_id, day, 'query', 1, 0, now() FROM treadle.search_days;
    INSERT INTO treadle.payloads (job_id, payload)
      SELECT id, '{}' FROM treadle.finished_jobs WHERE finished_at < now() - interval '2 years' LIMIT 2;
    INSERT INTO treadle.payloads (job_id, payload)
      SELECT id, '{}' FROM treadle.finished_jobs WHERE finished_at > now() - interval '9 days' AND state = 'dead' LIMIT 1;
    INSERT INTO treadle.sessions VALUES ('old', 'u', '{}', now(), now(), now() - interval '1 second', now()),
      ('new', 'u', '{}', now(), now(), now() + interval '1 hour', now());
    INSERT INTO treadle.presence_documents VALUES ('old', 2, 1, now() - interval '25 hours'),
      ('new', 2, 1, now() - interval '23 hours'), ('old, with somebody', 2, 1, now() - interval '25 hours');
    INSERT INTO treadle.presence_users VALUES ('old, with somebody', 'u', now(), 1);
    INSERT INTO treadle.presence_events SELECT document_id, 1, 'joined', 'u', 's', NULL, now() FROM treadle.presence_documents;
    INSERT INTO treadle.locks VALUES ('old', NULL, 1, now() - interval '25 hours'), ('new', NULL, 2, now() - interval '23 hours');
    INSERT INTO treadle.lock_fences VALUES ('old', 1, now() - interval '31 days'), ('new', 2, now() - interval '29 days')`);

  const { id } = await treadle.platform.enqueuer.enqueue(prune, {});
  const { partitionsDropped, ...rest } = (await finished(id)).result as {
    readonly partitionsDropped: readonly string[];
  };
  expect(partitionsDropped.toSorted()).toEqual(gone);
  expect(rest).toEqual({
    partitionsBusy: [],
    eventsHeld: 0,
    eventsMissed: {},
    deleted: {
      events: 1,
      eventDeadLetters: 0,
      finishedJobs: 5_004,
      idempotencyKeys: 1,
      onceKeys: 1,
      scheduleFires: 1,
      payloads: 2,
      throttles: 1,
      rateBuckets: 1,
      rateLimits: 1,
      sagas: 2,
      searches: 1,
      searchDays: 1,
      searchQueries: 1,
      sessions: 1,
      presenceDocuments: 1,
      locks: 1,
      lockFences: 1,
      cacheCounters: 0,
      cacheSets: 0,
    },
  });
  expect(await oldJobs()).toBe(young - 3);
  expect(await database.query('SELECT document_id FROM treadle.presence_events ORDER BY 1')).toEqual([
    { document_id: 'new' },
    { document_id: 'old, with somebody' },
  ]);
  expect(await database.query('SELECT key FROM treadle.once_keys')).toEqual([{ key: 'new' }]);
  expect(await database.query(`SELECT FROM treadle.sagas WHERE name = 'tests.old'`)).toEqual([]);
  expect(await database.query(`SELECT FROM treadle.sagas WHERE name = 'tests.new'`)).toHaveLength(3);
  expect(await database.query(`SELECT type FROM treadle.events WHERE type LIKE 'tests.%'`)).toEqual([
    { type: 'tests.new' },
  ]);
  expect(await database.query('SELECT query FROM treadle.searches')).toEqual([{ query: 'new' }]);
  expect(
    await database.query('SELECT day FROM treadle.search_days JOIN treadle.search_queries USING (day)'),
  ).toHaveLength(1);
  expect(await database.query('SELECT key FROM treadle.idempotency_keys')).toEqual([{ key: 'new' }]);
  expect(await database.query('SELECT tenant FROM treadle.rate_buckets')).toEqual([{ tenant: 'here' }]);
  expect(await database.query('SELECT key FROM treadle.rate_limits')).toEqual([{ key: 'counting' }]);
});

test('prune keeps finished jobs within the room they may take: whole days go first, then the oldest of today', async () => {
  const retention = { completedMs: 1e12, deadMs: 1e12, eventsMs: 1e12, idempotencyKeysMs: 1e12, searchesMs: 1e12 };
  const signal = new AbortController().signal;
  const days = [await finishedOn('dead', 3), await finishedOn('dead', 2), await finishedOn('dead', 1)];
  const insert = (at: string, jobs: number): Promise<unknown> =>
    database.query(
      `INSERT INTO treadle.finished_jobs (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed,
         attempts_made, timeout_ms, due_at, created_at, finished_at, failures)
       SELECT treadle.uuid_v7(), 'tests.large', 'default', 'dead', 5, '',
         jsonb_build_object('n', n, 'text', (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 30) AS i)),
         '{}', 1, 1, 1000, ${at}, ${at}, ${at}, '[]'
       FROM generate_series(1, $1::int) AS n`,
      [jobs],
    );
  for (const ago of [3, 2, 1]) await insert(`now() - interval '${ago} days'`, 1_000);
  await insert('now()', 1_000);
  const large = async (): Promise<readonly number[]> =>
    (
      await database.query<{ n: number }>(
        `SELECT (payload ->> 'n')::int AS n FROM treadle.finished_jobs
         WHERE name = 'tests.large' AND finished_at > now() - interval '12 hours' ORDER BY n`,
      )
    ).map(({ n }) => n);

  const roomy = await pruneExpired(database.postgres, { ...retention, deadBytes: 1e9 }, signal);
  expect(roomy).toMatchObject({ partitionsDropped: [], deleted: { finishedJobs: 0 } });
  const [day] = await database.query<{ bytes: number }>(
    `SELECT pg_total_relation_size('treadle.${days[2]}')::int AS bytes`,
  );
  const twoDays = (day?.bytes ?? 0) * 2.6;
  const first = await pruneExpired(database.postgres, { ...retention, deadBytes: twoDays }, signal);
  expect(first).toMatchObject({
    partitionsDropped: expect.arrayContaining(days.slice(0, 2)),
    deleted: { finishedJobs: 0 },
  });
  expect(first.partitionsDropped).not.toContain(days[2]);
  const second = await pruneExpired(database.postgres, { ...retention, deadBytes: 700_000 }, signal);
  expect(second.partitionsDropped).toEqual(days.slice(2));
  const left = await large();
  expect(left.length).toBeGreaterThan(300);
  expect(left.length).toBeLessThan(700);
  // The youngest stay; and what was made room for is not counted again.
  expect(left).toEqual(Array.from({ length: left.length }, (_, index) => 1_001 - left.length + index));
  expect(await pruneExpired(database.postgres, { ...retention, deadBytes: 700_000 }, signal)).toMatchObject({
    deleted: { finishedJobs: 0 },
  });
  await database.query(`DELETE FROM treadle.finished_jobs WHERE name = 'tests.large'`);
});

test('prune leaves a partition that is in use to the next run', async () => {
  const partition = await finishedOn('done', 20);
  const reader = await database.postgres.pool.connect();
  try {
    await reader.query('BEGIN');
    await reader.query(`SELECT * FROM treadle.${partition}`);
    const { id } = await treadle.platform.enqueuer.enqueue(prune, {});
    expect((await finished(id)).result).toMatchObject({ partitionsDropped: [], partitionsBusy: [partition] });
  } finally {
    await reader.query('ROLLBACK');
    reader.release();
  }
  const { id } = await treadle.platform.enqueuer.enqueue(prune, {});
  expect((await finished(id)).result).toMatchObject({ partitionsDropped: [partition], partitionsBusy: [] });
});

test('redrive puts the matching dead letters back to work at the given rate', async () => {
  const dead = await treadle.platform.enqueuer.enqueueMany(
    fragile,
    Array.from({ length: 25 }, (_, number) => ({ number })),
  );
  for (const { id } of dead) expect(await treadle.platform.jobs.wait(id, 20_000)).toMatchObject({ state: 'dead' });
  broken = false;
  const { id } = await treadle.platform.enqueuer.enqueue(redrive, {
    filter: { name: fragile.name, ids: dead.slice(5).map((job) => job.id) },
    ratePerSecond: 10,
  });
  const job = await finished(id);
  expect(job).toMatchObject({ result: { redriven: 20 }, progress: { fraction: 1, note: '20 of 20 redriven' } });
  for (const { id: each } of dead.slice(5)) await finished(each);
  expect(ran.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 20 }, (_, i) => i + 5),
  );
  // One second's worth a step: the jobs of a step become due in one statement.
  const steps = await database.query<{ jobs: number }>(
    'SELECT count(*)::int AS jobs FROM treadle.finished_jobs WHERE id = ANY ($1) GROUP BY due_at',
    [dead.slice(5).map((each) => each.id)],
  );
  expect(steps.map(({ jobs }) => jobs)).toEqual([10, 10]);
});

test('a redrive with a filter that nobody knows is refused, rather than for all dead letters', async () => {
  const payload = { filter: { quue: 'maintenance' } };
  await expect(treadle.platform.enqueuer.enqueueByName({ name: redrive.name, payload })).rejects.toThrow(
    'payload.filter.quue: is not a known field',
  );
});

test('redrive does not go round in circles with jobs that die again', async () => {
  const { id: dead } = await treadle.platform.enqueuer.enqueue(fragile, { number: 99 });
  expect(await treadle.platform.jobs.wait(dead, 20_000)).toMatchObject({ state: 'dead' });
  const { id } = await treadle.platform.enqueuer.enqueue(redrive, { filter: { ids: [dead] } });
  expect((await finished(id)).result).toEqual({ redriven: 1 });
  expect(await treadle.platform.jobs.wait(dead, 20_000)).toMatchObject({ state: 'dead' });
});

test('a redrive that is taken over by another worker goes on where it was, and leaves what died again', async () => {
  const { enqueuer, jobs } = treadle.platform;
  const letters = await enqueuer.enqueueMany(fragile, [{ number: 201 }, { number: 202 }, { number: 203 }]);
  for (const { id } of letters) expect(await jobs.wait(id, 20_000)).toMatchObject({ state: 'dead' });
  const filter = { name: fragile.name, payload: { number: 201 } };
  expect(await treadle.platform.deadLetters.count(filter)).toBe(1);
  const ids = letters.map(({ id }) => id);
  const { id } = await enqueuer.enqueue(redrive, { filter: { ids }, ratePerSecond: 1 });
  const failuresOf = async (letter: string | undefined) => (await jobs.find(letter ?? ''))?.failures.length;
  await expect.poll(() => failuresOf(ids[0]), { timeout: 20_000 }).toBe(2);
  await treadle.replaceWorker();
  expect(await finished(id)).toMatchObject({ result: { redriven: 3 }, attemptsMade: 1 });
  for (const letter of ids) {
    await jobs.wait(letter, 20_000);
    expect(await failuresOf(letter)).toBe(2);
  }
});

test('a redrive can be cancelled, and the rest stays', async () => {
  const { enqueuer, jobs } = treadle.platform;
  const letters = await enqueuer.enqueueMany(fragile, [{ number: 301 }, { number: 302 }, { number: 303 }]);
  for (const { id } of letters) expect(await jobs.wait(id, 20_000)).toMatchObject({ state: 'dead' });
  const ids = letters.map(({ id }) => id);
  const { id } = await enqueuer.enqueue(redrive, { filter: { ids }, ratePerSecond: 1 });
  await expect.poll(async () => (await jobs.find(ids[0] ?? ''))?.failures.length, { timeout: 20_000 }).toBe(2);
  await jobs.cancel(id);
  expect(await jobs.wait(id, 20_000)).toMatchObject({ state: 'cancelled' });
  expect((await jobs.find(ids[2] ?? ''))?.failures).toHaveLength(1);
});

test('reconcile and seed run as jobs', async () => {
  const workspace = await treadle.platform.workspaces.create({ name: 'repairs' });
  const { id: document } = await treadle.platform.knowledge.create(workspace.id, { title: 'Left out', content: '' });
  await database.query(`DELETE FROM treadle.search_documents`);
  await database.query(`INSERT INTO treadle.search_repairs (document_id, reason) VALUES ($1, 'tests')`, [document]);
  const { id } = await treadle.platform.enqueuer.enqueue(reconcile, {});
  expect((await finished(id)).result).toEqual({ madeReady: 0, documentsReindexed: 1 });
  expect(
    await treadle.platform.search.search({ workspaceId: workspace.id, query: 'left', mode: 'keyword' }),
  ).toMatchObject({ total: 1 });
  const first = await finished((await treadle.platform.enqueuer.enqueue(seed, {})).id);
  expect(first.result).toMatchObject({ roles: ['admin', 'editor', 'viewer'] });
  const again = await finished((await treadle.platform.enqueuer.enqueue(seed, {})).id);
  expect(again.result).toEqual(first.result);
});

test('flush-analytics forgets the rare queries of days that are over', async () => {
  await database.query(`
    INSERT INTO treadle.workspaces (name) VALUES ('asked');
    INSERT INTO treadle.search_days (workspace_id, day, searches, without_results, degraded, response_time_ms, response_times)
      SELECT id, day, 1000, 0, 0, 5, '{}' FROM treadle.workspaces, unnest(ARRAY[current_date - 3, current_date]) AS day
      WHERE name = 'asked';
    INSERT INTO treadle.search_queries (workspace_id, day, query, searches, without_results, last_at)
      SELECT workspace_id, day, 'query ' || n, n, 0, now() FROM treadle.search_days, generate_series(1, 300) AS n
      WHERE day >= current_date - 3`);
  const { id } = await treadle.platform.enqueuer.enqueue(flushAnalytics, {});
  expect((await finished(id)).result).toEqual({ queriesForgotten: 200 });
  expect(
    await database.query(
      `SELECT count(*) AS queries, min(searches) AS rarest FROM treadle.search_queries WHERE day >= current_date - 3
       GROUP BY day ORDER BY day`,
    ),
  ).toEqual([
    { queries: 100, rarest: 201 },
    { queries: 300, rarest: 1 },
  ]);
});

test('the schedules of the housekeeping are valid, and a run that waits is not doubled', async () => {
  const { registry } = treadle.platform;
  await syncBuiltIns(database.postgres, builtInSchedules, (name) => registry.find(name), new Date());
  const { enqueuer, schedules } = treadle.platform;
  expect((await schedules.list()).filter(({ builtIn }) => builtIn)).toHaveLength(builtInSchedules.length);
  const delayed = { deduplicationKey: 'scheduled', delayMs: 3_600_000 };
  const one = await enqueuer.enqueue(reconcile, {}, delayed);
  expect((await enqueuer.enqueue(reconcile, {}, delayed)).id).toBe(one.id);
  await treadle.platform.jobs.cancel(one.id);
});
