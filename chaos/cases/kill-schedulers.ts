import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosCase } from '../run-case.ts';

/** `kill -9` of all schedulers at once while schedules fire; for up to two seconds there is none. */
export const killSchedulers: ChaosCase = {
  name: 'kill-schedulers',
  backends: ['redis', 'postgres'],
  attempts: 'exact',
  makeFaults: async ({ app: { processes }, random, moments }) => {
    for await (const _ of moments(3)) {
      await Promise.all(processes.all('scheduler').map((scheduler) => processes.end(scheduler, 'SIGKILL')));
      await delay(random.int(0, 2_000));
      await processes.replenish();
    }
  },
};
