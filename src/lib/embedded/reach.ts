import fs from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { codeOf, isConnectionError, toAppError } from '../errors/classify.ts';
import { advisoryLocks, tryLock } from '../postgres/advisory-lock.ts';
import { connectDirect } from '../postgres/pool.ts';
import { folderFault, onFolder, urlOf, type DataFolder } from './data-folder.ts';
import type { Postmaster } from './postmaster.ts';

export interface Reached {
  readonly url: string;
  readonly client: pg.Client;
}

const patienceMs = 5_000;

/** A server that says it is ready may be about to stop, or have all its connections taken for a moment. */
const connect = async (folder: DataFolder, url: string, purpose: string): Promise<pg.Client> => {
  for (const deadline = Date.now() + patienceMs; ; await delay(100)) {
    try {
      return await connectDirect(url, `treadle:${purpose}`);
    } catch (error) {
      if (codeOf(error) === '28P01') {
        throw folderFault(folder.dataDir, `keeps a password in ${folder.password} that its database refuses`, error);
      }
      if (!isConnectionError(error) || Date.now() > deadline) throw toAppError(error);
    }
  }
};

/**
 * Connects to the server that claims to run in the folder, and makes sure that it does. The caller ends the client.
 * @throws AppError CONFIGURATION_ERROR when another server answers on its port.
 */
export const reach = async (folder: DataFolder, server: Postmaster, purpose: string): Promise<Reached> => {
  const url = await urlOf(folder, server.port);
  const client = await connect(folder, url, purpose);
  const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
  const home = await onFolder(folder.dataDir, () => fs.realpath(folder.data));
  const theirs = await fs.realpath(rows[0]?.data_directory ?? '').catch(() => undefined);
  if (theirs === home) return { url, client };
  await client.end();
  throw folderFault(
    folder.dataDir,
    `names port ${server.port} in postmaster.pid, but the server there keeps another folder`,
  );
};

/** The mark of the one process that looks after the server. A holder that has just been killed is given a moment to go. */
export const becomeOwner = async (client: pg.Client): Promise<boolean> => {
  for (const deadline = Date.now() + 1_000; ; await delay(50)) {
    if (await tryLock(client, advisoryLocks.dataDirectory)) return true;
    if (Date.now() > deadline) return false;
  }
};
