import type { ChaosCase } from '../run-case.ts';

/** FLUSHALL. */
export const flushRedis: ChaosCase = {
  name: 'flush-redis',
  backends: ['redis'],
  attempts: 'exact',
  makeFaults: async ({ app: { servers }, moments }) => {
    for await (const _ of moments(4)) await servers.redis?.flush();
  },
};
