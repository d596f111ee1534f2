import { afterEach, describe, expect, it } from 'vitest';
import { KeyService } from '../../src/domain/access/service.ts';
import { LoopWatch } from '../../src/lib/health/loop-watch.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { Meter } from '../../src/lib/telemetry/meter.ts';
import { startHealthServer, type HealthParts } from '../../src/workers/health-server.ts';
import { useDatabase } from '../services/database.ts';

const database = useDatabase();
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const ownParts = (): HealthParts => ({
  loops: new LoopWatch(),
  postgres: database.postgres,
  meter: new Meter(createLog({ level: 'silent' })),
  keys: new KeyService(database.postgres, []),
});

const serve = async (parts: Partial<HealthParts> = {}) => {
  const given = { ...ownParts(), ...parts };
  const server = await startHealthServer(given, { host: '127.0.0.1', port: 0 });
  closers.push(() => server.close());
  return server;
};

describe('the health port of a process without an API', () => {
  it('says that the process lives while its loops turn, and that it is stuck when one stands still', async () => {
    const loops = new LoopWatch();
    loops.watch('turns', 60_000);
    const { url } = await serve({ loops });
    const alive = await fetch(`${url}/health/live`);
    expect(alive.status).toBe(200);
    expect(await alive.json()).toMatchObject({ status: 'alive', loops: [{ name: 'turns', alive: true }] });
    loops.watch('stands', -1);
    const stuck = await fetch(`${url}/health/live`);
    expect(stuck.status).toBe(503);
    expect(await stuck.json()).toMatchObject({ status: 'stuck' });
  });

  it('says that the process is ready while Postgres answers, and not ready when it does not', async () => {
    const { url } = await serve();
    const ready = await fetch(`${url}/health/ready`);
    expect(ready.status).toBe(200);
    const nowhere = 'postgres://nobody@127.0.0.1:1/nothing';
    const options = { poolSize: 2, statementTimeoutMs: 1_000, applicationName: 'test' };
    const away = new Postgres({ url: nowhere, directUrl: nowhere, ...options }, createLog({ level: 'silent' }));
    closers.push(() => away.close());
    const { url: other } = await serve({ postgres: away });
    const notReady = await fetch(`${other}/health/ready`);
    expect(notReady.status).toBe(503);
    expect(await notReady.json()).toEqual({ status: 'not-ready', checks: { postgres: 'unreachable' } });
  });

  it('shows metrics to this machine alone while there are no keys, then to keys with health:read', async () => {
    const { url } = await serve();
    const open = await fetch(`${url}/metrics`);
    expect([open.status, open.headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(await open.text()).toContain('process_cpu_seconds_total');
    const reachable = await startHealthServer(ownParts(), { host: '0.0.0.0', port: 0 });
    closers.push(() => reachable.close());
    const fromOutside = await fetch(`http://127.0.0.1:${new URL(reachable.url).port}/metrics`);
    expect(fromOutside.status).toBe(401);
    const keys = new KeyService(database.postgres, []);
    const { secret } = await keys.create({ name: 'scraper', scopes: ['health:read'] });
    const other = await keys.create({ name: 'other', scopes: ['jobs:read'] });
    const { url: withKeys } = await serve({ keys });
    const status = async (key?: string) =>
      (await fetch(`${withKeys}/metrics`, { headers: key === undefined ? {} : { authorization: `Bearer ${key}` } }))
        .status;
    expect([await status(), await status('nonsense'), await status(other.secret), await status(secret)]).toEqual([
      401, 401, 403, 200,
    ]);
  });

  it('answers nothing else', async () => {
    const { url } = await serve();
    expect((await fetch(`${url}/v1/jobs`)).status).toBe(404);
  });

  it('names the variable when its port is taken', async () => {
    const { url } = await serve();
    const second = startHealthServer(ownParts(), { host: '127.0.0.1', port: Number(new URL(url).port) });
    await expect(second).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      details: { faults: [{ variable: 'TREADLE_HEALTH_PORT' }] },
    });
  });
});
