import fs from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readIfThere, type DataFolder } from './data-folder.ts';
import { processState, worksIn } from './process-state.ts';

/** What a running server says of itself in postmaster.pid. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  readonly status: string;
}

const fileOf = (folder: DataFolder): string => path.join(folder.data, 'postmaster.pid');

/** The lines that Treadle needs: 1 the process id, 4 the port, 8 the status. Undefined while the file is incomplete. */
export const readPostmaster = async (folder: DataFolder): Promise<Postmaster | undefined> => {
  const lines = (await readIfThere(fileOf(folder)))?.split('\n') ?? [];
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  return pid > 0 ? { pid, port, status: lines[7]?.trim() ?? '' } : undefined;
};

/** The server that runs in the folder now, in whatever status, or undefined. */
export const findPostmaster = async (folder: DataFolder): Promise<Postmaster | undefined> => {
  const found = await readPostmaster(folder);
  if (!found || (await processState(found.pid)) !== 'running') return undefined;
  const home = await fs.realpath(folder.data);
  return (await worksIn(found.pid, home)) ? found : undefined;
};

/**
 * Removes a postmaster.pid that Postgres itself would take for a running server's: its process is a zombie, or the id
 * belongs to a stranger by now. Servers that do run are protected by Postgres' own shared memory check as well.
 */
export const removeMisleadingFile = async (folder: DataFolder): Promise<void> => {
  const left = await readPostmaster(folder);
  if (!left || (await findPostmaster(folder))) return;
  if ((await processState(left.pid)) !== 'gone') await fs.rm(fileOf(folder), { force: true });
};

export const leftAPostmasterFile = async (folder: DataFolder): Promise<boolean> =>
  (await readIfThere(fileOf(folder))) !== undefined;

/** Waits until the process has ended. False when the time ran out first. */
export const waitUntilGone = async (pid: number, timeoutMs: number): Promise<boolean> => {
  for (const deadline = Date.now() + timeoutMs; (await processState(pid)) === 'running';) {
    if (Date.now() > deadline) return false;
    await delay(20);
  }
  return true;
};

/** Ends the server: connections are cut and everything is written (SIGINT), or, when that takes too long, recovery is left to the next start (SIGQUIT). */
export const stopPostmaster = async (pid: number, timeoutMs: number): Promise<'clean' | 'hurried' | 'stuck'> => {
  for (const [signal, outcome, waitMs] of [
    ['SIGINT', 'clean', timeoutMs],
    ['SIGQUIT', 'hurried', 5_000],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return outcome;
    }
    if (await waitUntilGone(pid, waitMs)) return outcome;
  }
  return 'stuck';
};
