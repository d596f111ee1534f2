import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors/app-error.ts';
import { folderUnder, holdsServer, onFolder } from './data-folder.ts';
import { findPostmaster } from './postmaster.ts';
import { reach } from './reach.ts';

const startingTimeoutMs = 30_000;

/** The URL of the server that runs in `dataDir`; one that is starting is waited for. Undefined when there is none. */
export const findServer = async (dataDir: string): Promise<string | undefined> => {
  const folder = folderUnder(dataDir);
  if (!(await holdsServer(folder))) return undefined;
  for (const deadline = Date.now() + startingTimeoutMs; Date.now() < deadline; await delay(50)) {
    const server = await onFolder(dataDir, () => findPostmaster(folder));
    if (!server || server.status === 'stopping') return undefined;
    if (server.status === 'ready') {
      const { url, client } = await reach(folder, server, 'attach');
      await client.end();
      return url;
    }
  }
  return undefined;
};

/**
 * The URL of the server that runs in `dataDir`, started and looked after by another process.
 * @throws AppError SERVICE_UNAVAILABLE when none runs; CONFIGURATION_ERROR for a folder that can't be used.
 */
export const attachToServer = async (dataDir: string): Promise<string> => {
  const url = await findServer(dataDir);
  if (url !== undefined) return url;
  throw new AppError(
    'SERVICE_UNAVAILABLE',
    `no Treadle runs on the data folder ${dataDir} (TREADLE_DATA_DIR): start one (npm start, or treadle dev), or set DATABASE_URL`,
    { service: 'postgres' },
  );
};
