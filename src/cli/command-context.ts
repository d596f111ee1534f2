import type { Config } from '../lib/config/load-config.ts';
import type { Log } from '../lib/log/create-log.ts';
import type { Database } from '../lib/postgres/open-database.ts';
import type { Platform } from '../platform.ts';
import type { Output } from './output.ts';

/** What a command works with. */
export interface CommandContext {
  readonly config: Config;
  readonly log: Log;
  readonly output: Output;
  /** Aborted when the user interrupts the command. */
  readonly signal: AbortSignal;
  /** Makes the exit code 1, for a command that has printed its own reason. */
  readonly fail: () => void;
  /** DATABASE_URL's server, or the embedded one: running already, or started for this command. Closed after it. */
  readonly database: () => Promise<Database>;
  /** Everything Treadle does, on that database, its schema checked or migrated. Closed after the command. */
  readonly platform: () => Promise<Platform>;
}
