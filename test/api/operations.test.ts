import { describe, expect, test } from 'vitest';
import { finishJobs } from '../../src/queues/ledger/ledger-writer.ts';
import { useApi } from './use-api.ts';

const api = useApi();
const accept = async (options: Record<string, unknown> = {}): Promise<string> =>
  (await api.call('POST', '/v1/jobs', { body: { name: 'app.greet', payload: { to: 'Ada' }, options } })).body.id;
const die = async (code: string): Promise<string> => {
  const id = await accept();
  await finishJobs(api.platform.postgres, [
    { id, state: 'dead', error: { code, message: 'no answer', stack: 'Error\n  at secret.ts' } },
  ]);
  return id;
};

const queue = async () =>
  (await api.call('GET', '/v1/queues')).body.items.find(({ name }: { name: string }) => name === 'default');

describe('queues', () => {
  test('are listed with counts, latency and throughput', async () => {
    await accept();
    await accept({ delayMs: 3_600_000 });
    expect(await queue()).toEqual({
      name: 'default',
      transport: 'bullmq',
      paused: false,
      counts: expect.objectContaining({ accepted: 1, delayed: 1, active: 0, completed: 0, dead: 0 }),
      finishedEstimated: false,
      oldestWaitingMs: expect.any(Number),
      relayLagMs: expect.any(Number),
      completedPerMinute: 0,
      latencyMs: { p50: null, p99: null },
    });
  });

  test('are paused and resumed', async () => {
    expect((await api.call('POST', '/v1/queues/default/pause')).body.paused).toBe(true);
    expect((await queue()).paused).toBe(true);
    expect((await api.call('POST', '/v1/queues/default/resume')).body.paused).toBe(false);
    expect((await queue()).paused).toBe(false);
  });

  test('that do not exist are 404', async () => {
    const answer = await api.call('POST', '/v1/queues/nowhere/pause');
    expect(answer.status).toBe(404);
    expect(answer.body.error.details).toEqual({ entity: 'queue', entityId: 'nowhere' });
  });
});

describe('dead letters', () => {
  test('are listed by queue, name, error code and time, with their error and no stack', async () => {
    const one = await die('EXTERNAL_SERVICE_ERROR');
    const other = await die('TIMEOUT');
    const all = await api.call('GET', '/v1/dead-letters?queue=default&name=app.greet');
    expect(all.body.items.map(({ id }: { id: string }) => id)).toEqual([other, one]);
    const some = await api.call('GET', '/v1/dead-letters?errorCode=TIMEOUT');
    expect(some.body.items).toHaveLength(1);
    expect(some.body.items[0]).toMatchObject({
      id: other,
      state: 'dead',
      error: { code: 'TIMEOUT', message: 'no answer' },
    });
    expect(JSON.stringify(some.body)).not.toContain('secret.ts');
    const past = encodeURIComponent(new Date(Date.now() - 60_000).toISOString());
    expect((await api.call('GET', `/v1/dead-letters?to=${past}`)).body.items).toEqual([]);
    expect((await api.call('GET', `/v1/dead-letters?from=${past}`)).body.items).toHaveLength(2);
  });

  test.each(['from=yesterday', 'to=2026-01-01', 'limit=1000', 'payload=x', 'payload={"a..b":1}', 'payload={"a":[1]}'])(
    'refuse ?%s',
    async (query) => {
      expect((await api.call('GET', `/v1/dead-letters?${query}`)).status).toBe(400);
    },
  );

  test('are found by what their payload holds', async () => {
    const { body } = await api.call('GET', `/v1/dead-letters?payload=${encodeURIComponent('{"to":"Ada","times":3}')}`);
    expect(body.items).toEqual([]);
    const all = await api.call('GET', '/v1/dead-letters');
    const [first] = all.body.items;
    const same = encodeURIComponent(JSON.stringify({ to: first.payload.to }));
    expect((await api.call('GET', `/v1/dead-letters?payload=${same}&tenant=&limit=100`)).body.items[0]).toEqual(first);
    const none = await api.call('POST', '/v1/dead-letters/redrive', { body: { payload: { to: 'Nobody' }, tag: 'x' } });
    expect(none.body).toEqual({ redriven: 0 });
    const bad = await api.call('POST', '/v1/dead-letters/redrive', { body: { payload: { to: { first: 'Ada' } } } });
    expect(bad.body.error.details.faults[0]).toMatchObject({ path: 'payload.to' });
  });

  test('are put back to work, those that match and no others', async () => {
    const mine = await die('RATE_LIMITED');
    const left = await die('INTERNAL_ERROR');
    const answer = await api.call('POST', '/v1/dead-letters/redrive', { body: { errorCode: 'RATE_LIMITED' } });
    expect(answer.body).toEqual({ redriven: 1 });
    expect((await api.platform.jobs.find(mine))?.state).toBe('accepted');
    expect((await api.platform.jobs.find(left))?.state).toBe('dead');
    const byId = await api.call('POST', '/v1/dead-letters/redrive', { body: { ids: [left] } });
    expect(byId.body).toEqual({ redriven: 1 });
    const bad = await api.call('POST', '/v1/dead-letters/redrive', { body: { ids: ['x'], limit: 0 } });
    expect(bad.body.error.details.faults.map(({ path }: { path: string }) => path)).toEqual(['ids[0]', 'limit']);
  });
});

test('dead letters are put back to work at a rate by a job', async () => {
  const answer = await api.call('POST', '/v1/dead-letters/redrive', {
    body: { errorCode: 'TIMEOUT', to: '2030-01-01T00:00:00Z', ratePerSecond: 5 },
  });
  expect(answer.status).toBe(202);
  expect(answer.body).toMatchObject({ queue: 'maintenance', name: 'maintenance.redrive' });
  expect((await api.platform.jobs.find(answer.body.id))?.payload).toEqual({
    filter: { errorCode: 'TIMEOUT', to: '2030-01-01T00:00:00.000Z' },
    ratePerSecond: 5,
  });
  const both = await api.call('POST', '/v1/dead-letters/redrive', { body: { limit: 1, ratePerSecond: 5 } });
  expect(both.body.error.details.faults[0].path).toBe('limit');
});

describe('schedules', () => {
  const body = {
    jobName: 'app.greet',
    payload: { to: 'Clock' },
    cron: '0 9 * * 1-5',
    timeZone: 'Europe/Berlin',
    misfire: 'skip',
  };

  test('are made, read, listed, replaced and removed', async () => {
    const made = await api.call('PUT', '/v1/schedules/morning', { body });
    expect(made.status).toBe(200);
    expect(made.body).toMatchObject({ name: 'morning', ...body, paused: false, builtIn: false, lastFireAt: null });
    expect(new Date(made.body.nextFireAt).getTime()).toBeGreaterThan(Date.now());
    expect((await api.call('GET', '/v1/schedules/morning')).body).toEqual(made.body);
    expect((await api.call('GET', '/v1/schedules')).body.items).toContainEqual(made.body);
    const replaced = await api.call('PUT', '/v1/schedules/morning', {
      body: { ...body, cron: '30 9 * * *', paused: true },
    });
    expect(replaced.body).toMatchObject({ cron: '30 9 * * *', paused: true });
    expect((await api.call('DELETE', '/v1/schedules/morning')).status).toBe(204);
    expect((await api.call('GET', '/v1/schedules/morning')).status).toBe(404);
    expect((await api.call('DELETE', '/v1/schedules/morning')).status).toBe(404);
  });

  test('are made by interval or for one moment, and show their next times', async () => {
    const { cron: _, timeZone: __, ...rest } = body;
    const often = await api.call('PUT', '/v1/schedules/often', {
      body: { ...rest, everyMs: 60_000, anchorAt: '2026-01-01T00:00:30Z' },
    });
    expect(often.body).toMatchObject({ cron: null, everyMs: 60_000, anchorAt: '2026-01-01T00:00:30.000Z', at: null });
    const next = await api.call('GET', '/v1/schedules/often/next?limit=3');
    expect(next.body.items).toHaveLength(3);
    for (const { fireAt } of next.body.items) expect(fireAt).toMatch(/:30\.000Z$/);
    expect((await api.call('GET', '/v1/schedules/often/next')).body.items).toHaveLength(5);
    expect((await api.call('GET', '/v1/schedules/often/next?limit=101')).status).toBe(400);
    const at = new Date(Date.now() + 86_400_000).toISOString();
    expect((await api.call('PUT', '/v1/schedules/often', { body: { ...rest, at } })).body).toMatchObject({
      at,
      everyMs: null,
      nextFireAt: at,
    });
    await api.call('DELETE', '/v1/schedules/often');
  });

  test('are paused, resumed and run by hand, and tell what they did', async () => {
    await api.call('PUT', '/v1/schedules/morning', { body });
    expect((await api.call('POST', '/v1/schedules/morning/pause')).body).toMatchObject({
      paused: true,
      nextFireAt: null,
    });
    expect((await api.call('GET', '/v1/schedules/morning/next')).body.items).toEqual([]);
    expect((await api.call('POST', '/v1/schedules/morning/resume')).body).toMatchObject({ paused: false });
    const run = await api.call('POST', '/v1/schedules/morning/run');
    expect(run.status).toBe(202);
    expect((await api.call('GET', `/v1/jobs/${run.body.id}`)).body).toMatchObject({
      scheduleName: 'morning',
      payload: body.payload,
    });
    expect((await api.call('GET', '/v1/schedules/morning/fires')).body).toMatchObject({
      items: [{ jobId: run.body.id, byHand: true, skipped: false, lateMs: 0 }],
      nextCursor: null,
    });
    await api.call('DELETE', '/v1/schedules/morning');
    for (const [method, path] of [
      ['GET', 'fires'],
      ['GET', 'next'],
      ['POST', 'run'],
      ['POST', 'pause'],
    ] as const)
      expect((await api.call(method, `/v1/schedules/morning/${path}`)).status).toBe(404);
  });

  test.each([
    ['a cron that is none', { cron: 'sometimes' }, 'cron', /5 fields/],
    ['a cron that can never fire', { cron: '0 0 30 2 *' }, 'cron', /can never fire/],
    ['a time zone that is none', { timeZone: 'Mars/Olympus' }, 'timeZone', /IANA time zone/],
    ['a payload that does not fit the job', { payload: { to: '' } }, 'payload.to', /^must not be empty$/],
    ['a field that does not exist', { colour: 'red' }, 'colour', /not a known field/],
    ['a misfire policy that is none', { misfire: 'perhaps' }, 'misfire', /^must be skip, once or all$/],
    ['a number for a text', { cron: 5 }, 'cron', /^must be text$/],
    ['two kinds of times', { everyMs: 5_000 }, 'everyMs', /^cannot be given beside cron$/],
    ['no job', { jobName: undefined }, 'jobName', /^is missing$/],
  ])('refuse %s', async (_what, change, path, message) => {
    const answer = await api.call('PUT', '/v1/schedules/bad', { body: { ...body, ...change } });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults).toEqual([{ path, message: expect.stringMatching(message) }]);
    expect(await api.platform.schedules.find('bad')).toBeUndefined();
  });

  test('refuse a job that nobody defined', async () => {
    const answer = await api.call('PUT', '/v1/schedules/bad', { body: { ...body, jobName: 'app.nobody' } });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults[0].path).toBe('jobName');
  });
});

describe('health', () => {
  test('is live while every loop turns, and not when one stands still', async () => {
    const turning = api.platform.loops.watch('turning', 60_000);
    expect((await api.call('GET', '/health/live')).body).toMatchObject({
      status: 'alive',
      loops: [{ name: 'turning', alive: true }],
    });
    const stuck = api.platform.loops.watch('stuck', 20);
    const answer = await api.until(async () => {
      const found = await api.call('GET', '/health/live');
      return found.status === 503 && found;
    });
    expect(answer.body.status).toBe('stuck');
    expect(answer.body.loops).toContainEqual(expect.objectContaining({ name: 'stuck', alive: false, limitMs: 20 }));
    stuck.beat();
    stuck.end();
    expect((await api.call('GET', '/health/live')).status).toBe(200);
    turning.end();
  });

  test('is ready, and says how Postgres and the pool are doing', async () => {
    expect((await api.call('GET', '/health/ready')).body).toEqual({ status: 'ready', checks: { postgres: 'ok' } });
    expect((await api.call('GET', '/health/db')).body).toMatchObject({
      status: 'healthy',
      reason: null,
      responseMs: expect.any(Number),
      pool: { size: expect.any(Number), waiting: 0 },
    });
    expect((await api.call('GET', '/health/db/detailed')).body).toMatchObject({
      status: 'healthy',
      details: { performance: { p99Ms: expect.any(Number) }, database: { isReplica: false }, errors: {} },
    });
    const report = await api.call('GET', '/health/db/report');
    expect(report).toMatchObject({ status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' } });
    expect(report.body).toMatch(/^Database: healthy, /);
  });
});

test('metrics are in the text format of Prometheus', async () => {
  const { status, headers, body } = await api.call('GET', '/metrics');
  expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(body).toMatch(/^treadle_queue_jobs\{queue="default",state="accepted"\} \d+$/m);
  expect(body).toMatch(/^treadle_jobs_enqueued_total\{queue="default",job="app.greet"\} [1-9]\d*$/m);
  expect(body).toMatch(/^process_resident_memory_bytes \d+$/m);
});

test('the first page says where everything is', async () => {
  const { status, body } = await api.call('GET', '/');
  expect(status).toBe(200);
  const links = [...String(body).matchAll(/<a href="([^"]+)"/g)].map(([, href]) => href ?? '');
  expect(links).toEqual(expect.arrayContaining(['/board', '/docs', '/metrics']));
  for (const href of links) expect((await api.call('GET', href)).status).toBeLessThan(400);
});

describe('limits', () => {
  const put = (body: object) => api.call('PUT', '/v1/queues/default/limits', { body });

  test('are set for a queue, each tenant or one, shown, and taken back', async () => {
    const rate = { max: 100, perMs: 60_000 };
    expect((await put({ scope: 'queue', limit: { rate } })).status).toBe(200);
    expect((await put({ scope: 'tenants', limit: { concurrency: 5 } })).status).toBe(200);
    const { body } = await put({ scope: 'tenant', tenant: 'acme', limit: { weight: 2.5, concurrency: 9 } });
    expect(body).toEqual({
      queue: { rate },
      tenants: { concurrency: 5 },
      tenant: [{ tenant: 'acme', weight: 2.5, concurrency: 9 }],
    });
    expect((await api.call('GET', '/v1/queues/default/limits')).body).toEqual(body);
    await put({ scope: 'queue', limit: null });
    await put({ scope: 'tenants', limit: null });
    expect((await put({ scope: 'tenant', tenant: 'acme', limit: null })).body).toEqual({
      queue: {},
      tenants: {},
      tenant: [],
    });
  });

  test('that make no sense are refused by name', async () => {
    const pathsOf = async (body: object): Promise<string[]> => {
      const answer = await put(body);
      expect(answer.status).toBe(400);
      return answer.body.error.details.faults.map(({ path }: { path: string }) => path);
    };
    expect(await pathsOf({ scope: 'queue', limit: { concurrency: 0 } })).toEqual(['limit.concurrency']);
    expect(await pathsOf({ scope: 'queue', limit: { weight: 2 } })).toHaveLength(1);
    expect(await pathsOf({ scope: 'tenant', limit: {} })).toEqual(['tenant']);
    expect(await pathsOf({ scope: 'tenants', limit: { rate: { max: 1 } } })).toEqual(['limit.rate.perMs']);
    expect((await api.call('PUT', '/v1/queues/no-such/limits', { body: { scope: 'queue', limit: null } })).status).toBe(
      404,
    );
  });
});
