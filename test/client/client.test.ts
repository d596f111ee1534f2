import { once } from 'node:events';
import { Pool, TypeOverrides } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createServer, type Server } from '../../src/api/server.ts';
import { connectTreadle, type ConnectOptions } from '../../src/client/connect-treadle.ts';
import type { TreadleClient } from '../../src/client/treadle-client.ts';
import { treadleHttp } from '../../src/client/treadle-http.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { flow } from '../../src/queues/flows/prepare-flow.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed, permanent } from '../../src/queues/outcome.ts';
import { startWorker } from '../../src/workers/worker.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useTreadle } from '../queues/use-treadle.ts';

const double = defineJob({
  name: 'sums.double',
  payload: z.object({ n: z.number() }),
  result: z.object({ n: z.number(), at: z.coerce.date() }),
});
const fail = defineJob({ name: 'sums.fail', payload: z.object({}) });
const warm = defineJob({ name: 'sums.warm', payload: z.object({ key: z.string() }), durability: 'queue' });
/** Nobody works on its queue until a test starts to. */
const idle = defineJob({ name: 'sums.idle', queue: 'idle', payload: z.object({}) });
const warmed: string[] = [];
const at = new Date('2026-03-04T05:06:07.000Z');

const handlers = [
  handle(double, async ({ payload: { n } }) => completed({ n: 2 * n, at })),
  handle(fail, async () => permanent(new Error('never'))),
  handle(warm, async ({ payload: { key } }) => {
    warmed.push(key);
    return completed(null);
  }),
];
const database = useDatabase();
const treadle = useTreadle({
  database,
  contracts: [double, fail, warm, idle],
  queues: [defineQueue({ name: 'idle' })],
  handlers,
  env: { TREADLE_PORT: '0', TREADLE_QUEUES: 'default' },
});
const timestamptzOid = 1_184;
const unknownId = '01890a5d-ac96-774b-bcce-b302099a8057';

let server: Server;
let url = '';
let appPool: Pool;
beforeAll(async () => {
  server = await createServer(treadle.platform);
  url = await server.listen();
  // An app whose driver leaves times as text.
  const types = new TypeOverrides();
  types.setTypeParser(timestamptzOid, (text) => text);
  appPool = new Pool({ connectionString: database.url, max: 2, types });
});
afterAll(async () => {
  await server?.close();
  await appPool?.end();
});

const clients: readonly (readonly [name: string, open: () => TreadleClient])[] = [
  ['by the URL of the database', () => connectTreadle({ databaseUrl: database.url, poolSize: 2 })],
  ['over HTTP', () => treadleHttp({ url })],
];

describe.each(clients)('a client %s', (name, open) => {
  let client: TreadleClient;
  beforeAll(() => {
    client = open();
  });
  afterAll(() => client.close());

  it('enqueues a job, waits for it, and reads what came of it with the types of the contract', async () => {
    const accepted = await client.enqueue(double, { n: 21 }, { tags: ['one'], runAt: new Date(0) });
    expect(accepted).toMatchObject({ name: 'sums.double', queue: 'default' });
    const job = await client.wait(double, accepted.id, { timeoutMs: 10_000 });
    expect(job).toMatchObject({ id: accepted.id, state: 'completed', tags: ['one'], payload: { n: 21 } });
    expect(job?.result).toEqual({ n: 42, at });
    expect(job?.finishedAt).toBeInstanceOf(Date);
    expect(await client.find(double, accepted.id)).toEqual(job);
  });

  it('accepts all of many, or none', async () => {
    const tag = `many ${name}`;
    expect(await client.enqueueMany(double, [{ n: 1 }, { n: 2 }], { tags: [tag], delayMs: 60_000 })).toHaveLength(2);
    const refused = client.enqueueMany(double, [{ n: 1 }, { n: Number.NaN }], { tags: [tag] });
    await expect(refused).rejects.toMatchObject({ code: 'VALIDATION_ERROR', details: { faults: [{ index: 1 }] } });
    expect(await client.enqueueMany(double, [])).toEqual([]);
    const { items, nextCursor } = await client.list({ tag, state: 'delayed' }, { limit: 1 });
    expect(items).toHaveLength(1);
    const rest = await client.list({ tag, state: 'delayed' }, { limit: 1, cursor: nextCursor ?? '' });
    expect(rest).toMatchObject({ items: [{ name: 'sums.double' }], nextCursor: null });
  });

  it('enqueues a flow: the job at its root runs when those below it have ended', async () => {
    const { id } = await client.enqueueFlow(flow(double, { n: 1 }, { children: [flow(double, { n: 2 })] }));
    expect(await client.wait(double, id, { timeoutMs: 10_000 })).toMatchObject({ state: 'completed' });
    const { items } = await client.list({ parent: id });
    expect(items).toMatchObject([{ state: 'completed', payload: { n: 2 }, parentId: id }]);
    const wrong = flow(double, { n: 1 }, { children: [flow(double, { n: Number.NaN })] });
    await expect(client.enqueueFlow(wrong)).rejects.toMatchObject({
      details: { faults: [{ path: 'children[0].payload.n' }] },
    });
  });

  it('cancels, promotes and retries', async () => {
    const { id } = await client.enqueue(double, { n: 4 }, { delayMs: 60_000 });
    expect(await client.cancel(id)).toMatchObject({ id, state: 'cancelled' });
    await expect(client.cancel(id)).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
    await client.retry(id);
    expect(await client.wait(double, id, { timeoutMs: 10_000 })).toMatchObject({ state: 'completed' });
    const later = await client.enqueue(double, { n: 5 }, { delayMs: 60_000 });
    await client.promote(later.id);
    expect(await client.wait(double, later.id, { timeoutMs: 10_000 })).toMatchObject({ result: { n: 10 } });
  });

  it('answers a dead job with its error, and a job that goes on as it is at the time-out', async () => {
    const { id } = await client.enqueue(fail, {});
    const job = await client.wait(fail, id, { timeoutMs: 10_000 });
    expect(job).toMatchObject({ state: 'dead', result: null, error: { message: 'never' } });
    const later = await client.enqueue(double, { n: 1 }, { delayMs: 60_000 });
    expect(await client.wait(double, later.id, { timeoutMs: 1 })).toMatchObject({ state: 'delayed' });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(client.wait(double, later.id, { signal })).rejects.toThrow('enough');
  });

  it('refuses what does not fit with every fault named', async () => {
    const wrong = JSON.parse('{ "n": "many" }') as { n: number };
    await expect(client.enqueue(double, wrong, { priority: 10 })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'payload.n' }, { path: 'options.priority' }] },
    });
    const { id } = await client.enqueue(fail, {});
    await expect(client.find(double, id)).rejects.toMatchObject({ details: { faults: [{ path: 'name' }] } });
    await expect(client.list({}, { limit: 1_000 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
  });

  it('knows nothing of unknown jobs', async () => {
    expect(await client.find(double, unknownId)).toBeUndefined();
    expect(await client.wait(double, 'no-id')).toBeUndefined();
    await expect(client.cancel(unknownId)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('answers the same job for the same idempotency key, and refuses another request with it', async () => {
    const idempotencyKey = `key ${name}`;
    const first = await client.enqueue(double, { n: 1 }, { idempotencyKey });
    expect((await client.enqueue(double, { n: 1 }, { idempotencyKey })).id).toBe(first.id);
    const other = client.enqueue(double, { n: 2 }, { idempotencyKey });
    await expect(other).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT', details: { idempotencyKey } });
  });
});

describe('a client beside the database', () => {
  const connect = (options: ConnectOptions) => connectTreadle(options);

  it("makes a job part of the app's transaction, on the app's own pool, which it leaves open", async () => {
    const client = connect({ pool: appPool });
    const tx = await appPool.connect();
    await tx.query('BEGIN');
    const dropped = await client.enqueue(double, { n: 1 }, { tx });
    expect(await client.find(double, dropped.id)).toBeUndefined();
    await tx.query('ROLLBACK');
    await tx.query('BEGIN');
    const kept = await client.enqueueMany(double, [{ n: 1 }, { n: 2 }], { tx });
    await tx.query('COMMIT');
    tx.release();
    expect(await client.find(double, dropped.id)).toBeUndefined();
    for (const { id } of kept) {
      expect(await client.wait(double, id, { timeoutMs: 10_000 })).toMatchObject({ state: 'completed' });
    }
    await client.close();
    expect((await appPool.query('SELECT 1 AS one')).rowCount).toBe(1);
  });

  it('that does not know where the queues are leaves a cancelled job to the worker that takes it, and reaches its signal', async () => {
    const client = connect({ databaseUrl: database.url });
    const { id } = await client.enqueue(idle, {});
    await expect.poll(() => client.find(idle, id), { timeout: 10_000 }).toMatchObject({ state: 'waiting' });
    await client.cancel(id);
    const untilAborted = handle(idle, async ({ signal }) => {
      if (!signal.aborted) await once(signal, 'abort');
      signal.throwIfAborted();
      return completed(null);
    });
    const config = { ...treadle.platform.config, queues: ['idle'] };
    const worker = await startWorker({ ...treadle.platform, config }, { handlers: [untilAborted] });
    expect(await client.wait(idle, id, { timeoutMs: 10_000 })).toMatchObject({ state: 'cancelled' });
    await worker.close();
    await client.close();
  });

  it('says what is missing', async () => {
    expect(() => connect({})).toThrow('connectTreadle: give databaseUrl or pool');
    expect(() => connect({ databaseUrl: 'mysql://x' })).toThrow(/DATABASE_URL must be a URL/);
    expect(() => treadleHttp({ url: 'treadle' })).toThrow('treadleHttp: url must start with http:// or https://');
    const client = connect({ databaseUrl: database.url });
    await expect(client.enqueue(warm, { key: 'x' })).rejects.toThrow(/redisUrl or queueBackend/);
    await client.close();
  });
});

describe('over HTTP', () => {
  it('the key is sent, and its lack is said', async () => {
    const { secret } = await server.keys.create({ name: 'client', scopes: ['jobs:read'] });
    const stranger = treadleHttp({ url });
    const refused = stranger.list();
    await expect(refused).rejects.toMatchObject({ code: 'UNAUTHENTICATED', status: 401 });
    const reader = treadleHttp({ url: `${url}/`, apiKey: secret });
    await expect(reader.enqueue(double, { n: 1 })).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect(Array.isArray((await reader.list()).items)).toBe(true);
  });

  it('a server that is not there, or is not Treadle, is named', async () => {
    await expect(treadleHttp({ url: 'http://127.0.0.1:1' }).list()).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      details: { endpoint: 'GET http://127.0.0.1:1/v1/jobs' },
    });
    await expect(treadleHttp({ url: `${url}/elsewhere` }).list()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

const straight = (redis?: TestRedis): void => {
  const own = useDatabase();
  useTreadle({ database: own, ...(redis ? { redis } : {}), contracts: [warm], handlers });

  it('puts jobs straight into the queue', async () => {
    const where = redis ? { redisUrl: redis.url } : { queueBackend: 'postgres' as const };
    const client = connectTreadle({ databaseUrl: own.url, ...where });
    const key = `straight to ${redis ? 'Redis' : 'Postgres'}`;
    await client.enqueueMany(warm, [{ key }, { key }]);
    await expect.poll(() => warmed.filter((each) => each === key), { timeout: 10_000 }).toHaveLength(2);
    expect(await own.query('SELECT id FROM treadle.all_jobs WHERE name = $1', [warm.name])).toEqual([]);
    await client.close();
  });
};
describe('a client that knows where the queues are, BullMQ on Postgres', () => {
  straight();
});
describeWithRedis('a client that knows where the queues are, BullMQ on Redis', () => {
  straight(useRedis());
});
