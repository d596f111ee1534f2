import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosCase } from '../run-case.ts';

/** Every connection to Redis is cut, and none can be made, for up to twice the lock; Redis itself goes on. */
export const cutRedis: ChaosCase = {
  name: 'cut-redis',
  backends: ['redis'],
  attempts: 'exact',
  makeFaults: async ({ app: { servers }, random, lockMs, moments }) => {
    for await (const _ of moments(4)) {
      await servers.redis?.proxy.close();
      await delay(random.int(0, lockMs * 2));
      await servers.redis?.proxy.open();
    }
  },
};
