import type { Config } from '../config/load-config.ts';
import type { Log } from '../log/create-log.ts';
import type { Postgres } from '../postgres/postgres.ts';
import type { Meter } from '../telemetry/meter.ts';
import { RateLimits } from './rate-limits.ts';
import { RemoteServices } from './remote-services.ts';

/** The services that a process asks, with limits that all processes share: in the Redis of caches, where there is one. */
export const createRemoteServices = (
  postgres: Postgres,
  { url, cacheUrl, tls }: Config['redis'],
  { meter, log }: { readonly meter: Meter; readonly log: Log },
): RemoteServices => {
  const variable = cacheUrl === url ? 'REDIS_URL' : 'REDIS_CACHE_URL';
  const redis = cacheUrl === undefined ? undefined : ({ variable, url: cacheUrl, tls } as const);
  return new RemoteServices({ meter, log, limits: new RateLimits({ redis, postgres, log }) });
};
