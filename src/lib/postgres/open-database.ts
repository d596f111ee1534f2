import type { Config } from '../config/load-config.ts';
import { attachToServer, findServer } from '../embedded/attach-to-server.ts';
import { ownServer } from '../embedded/own-server.ts';
import type { Log } from '../log/create-log.ts';
import { checkConnection } from './check-connection.ts';

export interface Database {
  readonly url: string;
  /** Around pgbouncer, for LISTEN and session locks; `url` where there is none. */
  readonly directUrl: string;
  readonly embedded: boolean;
  /** Stops the embedded server if this process owns it. Close everything that uses it first. */
  close(): Promise<void>;
}

export interface OpenDatabaseOptions {
  /**
   * Without DATABASE_URL: `own` starts the embedded server (or adopts one left running) and looks after it, `attach` uses
   * the one that another process owns, `attach-or-own` whichever is possible, for commands that work alone too.
   */
  readonly mode: 'own' | 'attach' | 'attach-or-own';
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

const embeddedAt = (url: string, close: () => Promise<void>): Database => ({
  url,
  directUrl: url,
  embedded: true,
  close,
});
const nothingToClose = (): Promise<void> => Promise.resolve();

/**
 * The database this process works on: DATABASE_URL once it answers and is Postgres 15 or newer, else the embedded server
 * of the data folder.
 * @throws AppError CONFIGURATION_ERROR or DB_CONNECTION_ERROR naming the variable and the host; SERVICE_UNAVAILABLE when
 * there is nothing to attach to.
 */
export const openDatabase = async (config: Config, log: Log, options: OpenDatabaseOptions): Promise<Database> => {
  const { url, directUrl = url } = config.database;
  if (url !== undefined && directUrl !== undefined) {
    const pooled = directUrl !== url;
    await checkConnection('DATABASE_URL', url, { direct: !pooled });
    if (pooled) await checkConnection('DATABASE_DIRECT_URL', directUrl, { direct: true });
    return { url, directUrl, embedded: false, close: nothingToClose };
  }
  if (options.mode === 'attach') return embeddedAt(await attachToServer(config.dataDir), nothingToClose);
  if (options.mode === 'attach-or-own') {
    const running = await findServer(config.dataDir);
    if (running !== undefined) return embeddedAt(running, nothingToClose);
  }
  const server = await ownServer({
    dataDir: config.dataDir,
    log,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  return embeddedAt(server.url, () => server.close());
};
