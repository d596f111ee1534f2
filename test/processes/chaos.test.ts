import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openApp, type ChaosApp } from '../../chaos/app/open-app.ts';
import { cases } from '../../chaos/cases.ts';
import { runCase } from '../../chaos/run-case.ts';
import { startServers, type Backend, type ChaosServers } from '../../chaos/servers.ts';
import { shortRun } from '../../chaos/sizes.ts';
import { describeWithRedisProgram } from '../services/redis.ts';

const seed = Math.floor(Math.random() * 1_000_000);

const suite = (backend: Backend, names: readonly string[]): void => {
  let servers: ChaosServers;
  let app: ChaosApp;
  beforeAll(async () => {
    servers = await startServers();
    app = await openApp(servers, { backend, ...shortRun });
  });
  afterAll(async () => {
    await app.close();
    await servers.close(false);
  });

  test.for(cases.filter(({ name }) => names.includes(name)))(
    '$name: no job is lost, and no effect comes twice',
    async (chaosCase) => {
      const { breaches } = await runCase(app, chaosCase, { seed, ...shortRun });
      expect({ seed, breaches }).toEqual({ seed, breaches: [] });
    },
  );

  test('after all of it every process ends in order', async () => {
    expect(await app.processes.endAll()).toEqual([]);
  });
};

// Each case once; `npm run chaos` runs all on both backends.
describeWithRedisProgram('chaos, BullMQ on Redis', () => {
  suite('redis', ['kill-workers', 'flush-redis', 'restart-redis', 'cut-redis', 'kill-backends', 'terminate']);
});
describe('chaos, BullMQ on Postgres', () => {
  suite('postgres', ['freeze-worker', 'kill-relay', 'kill-schedulers', 'blocked-loop', 'restart-postgres']);
});
