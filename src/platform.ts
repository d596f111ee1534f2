import type { Config } from './lib/config/load-config.ts';
import type { Log } from './lib/log/create-log.ts';
import type { Postgres } from './lib/postgres/postgres.ts';
import type { Subscription } from './lib/postgres/subscription.ts';

/** What a process of Treadle works with; built once by `createPlatform`, passed down as an argument. */
export interface Platform {
  readonly config: Config;
  readonly log: Log;
  readonly postgres: Postgres;
  readonly subscription: Subscription;
}
