import { createLog } from '../../../src/lib/log/create-log.ts';
import type { PreparingQueryable } from '../../../src/lib/postgres/queryable.ts';
import { RateLimits } from '../../../src/lib/resilience/rate-limits.ts';
import { RemoteServices } from '../../../src/lib/resilience/remote-services.ts';
import { Meter } from '../../../src/lib/telemetry/meter.ts';

const away = (): Promise<never> => Promise.reject(new Error('there is no database'));
const noPostgres: PreparingQueryable = { query: away, queryPrepared: away };

/** Remote services of a process without servers, which counts its rate limits alone. */
export const openServices = () => {
  const log = createLog({ level: 'silent' });
  const meter = new Meter(log);
  const limits = new RateLimits({ redis: undefined, postgres: noPostgres, log });
  return { meter, services: new RemoteServices({ meter, log, limits }) };
};
