import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosCase } from '../run-case.ts';

/** Redis is killed, and comes back empty. */
export const restartRedis: ChaosCase = {
  name: 'restart-redis',
  backends: ['redis'],
  attempts: 'exact',
  makeFaults: async ({ app: { servers }, random, moments }) => {
    for await (const _ of moments(3)) {
      await servers.redis?.server.kill();
      await delay(random.int(0, 1_500));
      await servers.redis?.server.run();
    }
  },
};
