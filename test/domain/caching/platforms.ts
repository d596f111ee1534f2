import { afterAll, beforeAll } from 'vitest';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../../src/platform.ts';
import type { TestDatabase } from '../../services/database.ts';

/** Platforms of two processes over the same servers, from beforeAll to afterAll. */
export const usePlatforms = (
  database: TestDatabase,
  redis?: { readonly url: string },
): { readonly one: Platform; readonly two: Platform } => {
  const opened: Platform[] = [];
  const at = (place: number): Platform => {
    const found = opened[place];
    if (!found) throw new Error('the platforms exist from beforeAll to afterAll');
    return found;
  };
  beforeAll(async () => {
    const { url } = database;
    const config = loadConfig({
      DATABASE_URL: url,
      LOG_LEVEL: 'silent',
      ...(redis ? { REDIS_CACHE_URL: redis.url } : {}),
    });
    const log = createLog({ level: 'silent' });
    for (let place = 0; place < 2; place += 1) {
      const given = { url, directUrl: url, embedded: false, close: () => Promise.resolve() };
      opened.push(await createPlatform(config, log, given));
      // As the process of a server has it open.
      await at(place).cache.initialize();
    }
  });
  afterAll(async () => {
    for (const platform of opened) await platform.close();
  });
  return {
    get one() {
      return at(0);
    },
    get two() {
      return at(1);
    },
  };
};
