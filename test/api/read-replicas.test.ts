import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { createServer, type Server } from '../../src/api/server.ts';
import { checkInstallation } from '../../src/cli/check-installation.ts';
import { treadleHttp } from '../../src/client/treadle-http.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { PrivatePostgres } from '../services/private-postgres.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';

const log = createLog({ level: 'silent' });
const said: string[] = [];
const heard = pino({ level: 'info' }, { write: (line: string) => void said.push(line) });
const saidOf = (event: string): number => said.filter((line) => line.includes(`"event":"${event}"`)).length;
const header = 'x-treadle-read-after';
let pair: { readonly primary: PrivatePostgres; readonly replica: PrivatePostgres };
let admin: Postgres;
let atReplica: Postgres;
/** Between the second process and the replica. */
let proxy: TcpProxy;

/** Two processes, as it were: each with pools, replicas and marks of its own. */
let processes: readonly { readonly platform: Platform; readonly server: Server }[] = [];

const configOf = (replicaUrl: string) =>
  loadConfig({
    DATABASE_URL: pair.primary.url,
    DATABASE_REPLICA_URL: replicaUrl,
    DATABASE_POOL_SIZE: '4',
    TREADLE_MIGRATE: 'auto',
  });
const optionsOf = (url: string) => ({
  url,
  directUrl: url,
  poolSize: 4,
  statementTimeoutMs: 30_000,
  applicationName: 'test',
});

beforeAll(async () => {
  pair = await PrivatePostgres.startPair();
  proxy = new TcpProxy(pair.replica.url);
  await proxy.open();
  const { url } = pair.primary;
  // The second as one whose connections are pgbouncer's.
  const pooled = { url, directUrl: `${url}?application_name=direct` };
  for (const [replicaUrl, logged, urls] of [
    [pair.replica.url, log, { url, directUrl: url }],
    [proxy.url, heard, pooled],
  ] as const) {
    const database = { ...urls, embedded: false, close: () => Promise.resolve() };
    const platform = await createPlatform(configOf(replicaUrl), logged, database);
    processes = [...processes, { platform, server: await createServer(platform) }];
  }
  admin = new Postgres(optionsOf(pair.primary.url), log);
  atReplica = new Postgres(optionsOf(pair.replica.url), log);
});
afterAll(async () => {
  for (const { server, platform } of processes) {
    await server.close();
    await platform.close();
  }
  await proxy?.close();
  await admin?.close();
  await atReplica?.close();
  await pair?.replica.remove();
  await pair?.primary.remove();
});

const platformOf = (process: number): Platform => {
  const { platform } = processes[process] ?? {};
  if (!platform) throw new Error(`there is no process ${process}`);
  return platform;
};

const call = async (
  process: number,
  method: 'GET' | 'POST',
  url: string,
  { body, after }: { readonly body?: object; readonly after?: string } = {},
) => {
  const { server } = processes[process] ?? {};
  if (!server) throw new Error(`there is no process ${process}`);
  const answer = await server.app.inject({
    method,
    url,
    headers: {
      host: 'localhost',
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...(after === undefined ? {} : { [header]: after }),
    },
    ...(body ? { payload: JSON.stringify(body) } : {}),
  });
  const position = answer.headers[header];
  return { status: answer.statusCode, body: answer.json(), position: typeof position === 'string' ? position : '' };
};
const write = (process: number, title: string) =>
  call(process, 'POST', '/v1/workspaces/w/knowledge', { body: { title, content: 'text' } });
const titles = async (process: number, after?: string): Promise<readonly string[]> => {
  const { body } = await call(process, 'GET', '/v1/workspaces/w/knowledge', after === undefined ? {} : { after });
  return body.items.map(({ title }: { title: string }) => title);
};
/** Reads by either server since the start of the process. */
const readsOf = (process: number): Readonly<Record<string, number>> => {
  const reads = platformOf(process)
    .postgres.metrics()
    .find(({ name }) => name === 'treadle_postgres_reads_total');
  return Object.fromEntries(reads?.samples.map(({ labels, value }) => [labels['server'], value]) ?? []);
};
const whereRead = async (process: number, read: () => Promise<unknown>): Promise<string> => {
  const before = readsOf(process);
  await read();
  const after = readsOf(process);
  return ['replica', 'primary'].filter((server) => (after[server] ?? 0) > (before[server] ?? 0)).join(' and ');
};
const untilReplicaIsRead = async (process: number, after?: string): Promise<void> => {
  await expect.poll(() => whereRead(process, () => titles(process, after)), { timeout: 20_000 }).toBe('replica');
};
const pause = () => atReplica.query('SELECT pg_wal_replay_pause()');
const resume = () => atReplica.query('SELECT pg_wal_replay_resume()');

test('reads go to the replica', async () => {
  expect(await call(0, 'POST', '/v1/workspaces', { body: { name: 'w' } })).toMatchObject({ status: 201 });
  expect(await write(0, 'first')).toMatchObject({
    status: 201,
    position: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
  });
  await untilReplicaIsRead(0);
  await untilReplicaIsRead(1);
  expect(await titles(1)).toEqual(['first']);
});

test('while the replica lags, whoever wrote reads what they wrote, and others read the replica', async () => {
  await pause();
  const { position } = await write(0, 'second');
  expect(await titles(0)).toEqual(['second', 'first']);
  expect(await titles(1, position)).toEqual(['second', 'first']);
  // Lists are kept in a cache, which is filled from the primary; suggestions are in none.
  const suggested = async () => {
    const { body } = await call(1, 'GET', '/v1/workspaces/w/suggest?q=sec');
    expect(body.titles).toEqual([]);
  };
  expect(await whereRead(1, suggested)).toBe('replica');
  const found = await call(1, 'GET', '/v1/workspaces/w/suggest?q=sec', { after: position });
  expect(found.body.titles).toHaveLength(1);
  await resume();
  await untilReplicaIsRead(0);
  await untilReplicaIsRead(1, position);
  expect(await titles(1, position)).toEqual(['second', 'first']);
});

test('a request that reads and writes, or writes without a session, is followed by reads that show it', async () => {
  await pause();
  const { reader, db } = platformOf(0).postgres;
  const names = async () => {
    const { rows } = await reader.query<{ name: string }>('SELECT name FROM treadle.workspaces ORDER BY name');
    return rows.map(({ name }) => name);
  };
  const inSession = await reader.session({}, async () => {
    await names();
    await db.insertInto('workspaces').values({ name: 'made-within' }).execute();
    return names();
  });
  expect(inSession).toContain('made-within');
  await platformOf(0).postgres.query(`INSERT INTO treadle.workspaces (name) VALUES ('made-outside')`);
  expect(await reader.session({}, names)).toContain('made-outside');
  expect(await names()).toContain('made-outside');
  await resume();
});

test('a position that is none is refused, with the name of the header', async () => {
  const answer = await call(0, 'GET', '/v1/workspaces/w/knowledge', { after: 'yesterday' });
  expect(answer).toMatchObject({ status: 400, body: { error: { details: { faults: [{ path: header }] } } } });
});

test("the client sends with each request the latest position it was told, whichever process' it was", async () => {
  const sent: (string | undefined)[] = [];
  const positions = ['0/FF', '1/A', '0/FFFFFFFF', undefined, undefined];
  const api = createHttpServer((request, response) => {
    sent.push(request.headersDistinct[header]?.[0]);
    const position = positions.shift();
    if (position !== undefined) response.setHeader(header, position);
    const job = { id: '01890a5d-ac96-774b-bcce-b302099a8057', queue: 'default', name: 'a.job', state: 'accepted' };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(job));
  }).listen(0, '127.0.0.1');
  await once(api, 'listening');
  const address = api.address();
  const client = treadleHttp({ url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` });
  const contract = defineJob({ name: 'a.job', payload: z.object({}) });
  for (const _ of [1, 2, 3, 4]) await client.enqueue(contract, {});
  expect(sent).toEqual([undefined, '0/FF', '1/A', '1/A']);
  api.closeAllConnections();
  api.close();
  await once(api, 'close');
});

test('a read that conflicts with what the replica replays is answered by the primary', async () => {
  await admin.query('CREATE TABLE public.swept AS SELECT 1 AS n');
  const { reader } = platformOf(0).postgres;
  await untilReplicaIsRead(0);
  const read = () => reader.session({}, () => reader.query('SELECT n, pg_sleep(60) FROM public.swept'));
  const asleep = `SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'`;
  let reading = read();
  // On a busy machine the replica may fall behind just then, and the primary is asked.
  const isAtReplica = async (): Promise<boolean> => {
    const misled = await admin.query(`SELECT pg_cancel_backend(pid) FROM (${asleep}) AS asleep`);
    if (misled.rows.length > 0) {
      await reading.catch(() => undefined);
      await untilReplicaIsRead(0);
      reading = read();
    }
    return (await atReplica.query(asleep)).rows.length === 1;
  };
  await expect.poll(isAtReplica, { timeout: 20_000 }).toBe(true);
  await admin.query('TRUNCATE public.swept');
  expect(await reading).toMatchObject({ rows: [] });
  await untilReplicaIsRead(0);
});

test('a replica that hangs holds no read up for long, is told of once, and is read again later', async () => {
  await untilReplicaIsRead(1);
  proxy.freeze();
  const reads = Array.from({ length: 5 }, () => titles(1));
  expect(await Promise.all(reads)).toEqual(reads.map(() => ['second', 'first']));
  expect(await whereRead(1, () => titles(1))).toBe('primary');
  const health = await call(1, 'GET', '/health/db/detailed');
  expect(health.body).toMatchObject({
    status: 'degraded',
    details: { readReplicas: [{ name: new URL(proxy.url).host, status: 'away', lagMs: null }] },
  });
  expect(health.body.reasons).toContainEqual(expect.stringContaining('reads do not go to the replica'));
  proxy.thaw();
  await untilReplicaIsRead(1);
  expect([saidOf('postgres.replica-away'), saidOf('postgres.replica-back')]).toEqual([1, 1]);
  const after = await call(1, 'GET', '/health/db/detailed');
  expect(after.body.details.readReplicas).toMatchObject([{ status: 'ready', lagMs: 0, reason: null }]);
});

test('a replica that is killed, or that follows nobody any more, is done without', async () => {
  const check = async (url: string) => {
    const checks = await checkInstallation(configOf(url), log);
    return checks.find(({ name }) => name === 'DATABASE_REPLICA_URL');
  };
  expect(await check(pair.replica.url)).toMatchObject({ status: 'ok' });
  expect(await check(pair.primary.url)).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('no replica'),
  });
  await untilReplicaIsRead(0);
  await pair.replica.stop('SIGKILL');
  expect(await titles(0)).toEqual(['second', 'first']);
  expect(await titles(1)).toEqual(['second', 'first']);
  expect(await check(pair.replica.url)).toMatchObject({ status: 'failed' });
  await pair.replica.start();
  await untilReplicaIsRead(0);
  await atReplica.query('SELECT pg_promote()');
  const states = () => platformOf(0).postgres.reader.check();
  const alone = [{ status: 'away', reason: expect.stringContaining('follows none') }];
  await expect.poll(states, { timeout: 10_000 }).toMatchObject(alone);
  expect(await whereRead(0, () => titles(0))).toBe('primary');
});
