import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosCase } from '../run-case.ts';

/** SIGSTOP of a worker until others have taken its jobs, then SIGCONT: what it brings late is refused. */
export const freezeWorker: ChaosCase = {
  name: 'freeze-worker',
  backends: ['redis', 'postgres'],
  attempts: 'may-grow',
  makeFaults: async ({ app: { processes }, random, lockMs, moments }) => {
    for await (const _ of moments(3)) {
      const { child } = random.pick(processes.all('worker'));
      child.kill('SIGSTOP');
      await delay(lockMs * 2 + random.int(0, lockMs));
      child.kill('SIGCONT');
    }
  },
};
