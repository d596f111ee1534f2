import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosApp } from '../app/open-app.ts';
import type { AppProcess } from '../app/processes.ts';
import type { ChaosCase } from '../run-case.ts';

const takeoverMs = 20_000;

/** The scheduler process that leads the relay. */
const leaderOf = async ({ query, processes }: ChaosApp): Promise<AppProcess | undefined> => {
  for (const deadline = Date.now() + takeoverMs; Date.now() < deadline; await delay(50)) {
    const [row] = await query<{ holder: string | null }>('SELECT holder FROM treadle.relay');
    const leader = processes.all('scheduler').find(({ pid }) => `${pid}` === row?.holder);
    if (leader) return leader;
  }
  return undefined;
};

/** `kill -9` of the scheduler that leads the relay, while another stands by. */
export const killRelay: ChaosCase = {
  name: 'kill-relay',
  backends: ['redis', 'postgres'],
  attempts: 'exact',
  makeFaults: async ({ app, moments, complain }) => {
    for await (const _ of moments(4)) {
      const leader = await leaderOf(app);
      if (leader) await app.processes.end(leader, 'SIGKILL');
      else complain('no scheduler took over the relay', `within ${takeoverMs} ms`);
      await app.processes.replenish();
    }
  },
};
