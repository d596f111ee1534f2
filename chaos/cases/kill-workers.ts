import type { ChaosCase } from '../run-case.ts';

/** `kill -9` of workers; each is started again. */
export const killWorkers: ChaosCase = {
  name: 'kill-workers',
  backends: ['redis', 'postgres'],
  attempts: 'exact',
  makeFaults: async ({ app: { processes }, random, moments }) => {
    const starting: Promise<void>[] = [];
    for await (const _ of moments(4)) {
      await processes.end(random.pick(processes.all('worker')), 'SIGKILL');
      starting.push(processes.replenish());
    }
    await Promise.all(starting);
  },
};
