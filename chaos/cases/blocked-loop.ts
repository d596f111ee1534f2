import type { ChaosCase } from '../run-case.ts';

/** Some jobs of the load block the event loop of their worker past the lock, with all that runs beside them. */
export const blockedLoop: ChaosCase = {
  name: 'blocked-loop',
  backends: ['redis', 'postgres'],
  attempts: 'may-grow',
  makeFaults: async ({ moments }) => {
    for await (const _ of moments(1));
  },
};
