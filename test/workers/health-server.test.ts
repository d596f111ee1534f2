import { afterEach, describe, expect, it } from 'vitest';
import { LoopWatch } from '../../src/lib/health/loop-watch.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { startHealthServer, type HealthParts } from '../../src/workers/health-server.ts';
import { useDatabase } from '../services/database.ts';

const database = useDatabase();
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const serve = async (parts: Partial<HealthParts> = {}) => {
  const given = { loops: new LoopWatch(), postgres: database.postgres, ...parts };
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

  it('answers nothing else', async () => {
    const { url } = await serve();
    expect((await fetch(`${url}/v1/jobs`)).status).toBe(404);
  });

  it('names the variable when its port is taken', async () => {
    const { url } = await serve();
    const parts = { loops: new LoopWatch(), postgres: database.postgres };
    const second = startHealthServer(parts, { host: '127.0.0.1', port: Number(new URL(url).port) });
    await expect(second).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      details: { faults: [{ variable: 'TREADLE_HEALTH_PORT' }] },
    });
  });
});
