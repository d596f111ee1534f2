import type { ChaosCase } from '../run-case.ts';

/** SIGTERM of workers and schedulers under load: each ends with exit code 0, and no job pays for it with an attempt. */
export const terminate: ChaosCase = {
  name: 'terminate',
  backends: ['redis', 'postgres'],
  attempts: 'exact',
  makeFaults: async ({ app: { processes }, random, moments, complain }) => {
    for await (const _ of moments(4)) {
      const victim = random.pick([...processes.all('worker'), ...processes.all('scheduler')]);
      const code = await processes.end(victim, 'SIGTERM');
      if (code !== 0) complain('did not end in order', `${victim.role} ${victim.pid}: exit code ${code}`);
      await processes.replenish();
    }
  },
};
