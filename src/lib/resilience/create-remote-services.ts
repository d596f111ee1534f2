import type { Log } from '../log/create-log.ts';
import type { Postgres } from '../postgres/postgres.ts';
import type { RedisAddress } from '../redis/connect-redis.ts';
import type { Meter } from '../telemetry/meter.ts';
import { RateLimits } from './rate-limits.ts';
import { RemoteServices } from './remote-services.ts';

/** The services that a process asks, with limits that all processes share: in the Redis of caches, where there is one. */
export const createRemoteServices = (
  postgres: Postgres,
  redis: RedisAddress | undefined,
  { meter, log }: { readonly meter: Meter; readonly log: Log },
): RemoteServices => new RemoteServices({ meter, log, limits: new RateLimits({ redis, postgres, log }) });
