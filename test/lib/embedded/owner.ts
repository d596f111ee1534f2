import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { z } from 'zod';
import { findBinaries } from '../../../src/lib/embedded/binaries.ts';
import { folderUnder } from '../../../src/lib/embedded/data-folder.ts';
import { initialise } from '../../../src/lib/embedded/initialise.ts';
import { findPostmaster, stopPostmaster } from '../../../src/lib/embedded/postmaster.ts';
import { RunningProcess, type RunOptions } from '../../processes/run-process.ts';

const report = z.union([
  z.object({ url: z.string(), how: z.enum(['created', 'started', 'adopted']), serverPid: z.number() }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);

export type Report = z.infer<typeof report>;

export interface Owner {
  readonly process: RunningProcess;
  readonly url: string;
  readonly how: 'created' | 'started' | 'adopted';
  readonly serverPid: number;
}

const emptyFolder = async (): Promise<string> => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'treadle-embedded-'));
  await chmod(folder, 0o755);
  return folder;
};

/** Folders and processes that end with each test, servers that its processes left behind included. */
export const useOwners = () => {
  const folders: string[] = [];
  const processes: RunningProcess[] = [];
  let prepared = '';

  beforeAll(async () => {
    prepared = await emptyFolder();
    await initialise(folderUnder(prepared), await findBinaries());
  });
  afterAll(() => rm(prepared, { recursive: true, force: true }));

  afterEach(async () => {
    for (const running of processes.splice(0)) await running.end('SIGKILL');
    for (const dataDir of folders.splice(0)) {
      const server = await findPostmaster(folderUnder(dataDir)).catch(() => undefined);
      if (server) await stopPostmaster(server.pid, 10_000);
      await rm(dataDir, { recursive: true, force: true });
    }
  });

  /** A data folder that nothing was ever started in. */
  const newFolder = async (): Promise<string> => {
    const folder = await emptyFolder();
    folders.push(folder);
    return folder;
  };

  /** A data folder that already has a database, as after a first start and stop. */
  const usedFolder = async (): Promise<string> => {
    const folder = await newFolder();
    await cp(prepared, folder, { recursive: true });
    return folder;
  };

  const start = (dataDir: string, options: RunOptions = {}): RunningProcess => {
    const running = new RunningProcess('own-server.ts', { ...options, args: [dataDir] });
    processes.push(running);
    return running;
  };

  const run = async (dataDir: string, options?: RunOptions): Promise<{ process: RunningProcess; told: Report }> => {
    const running = start(dataDir, options);
    return { process: running, told: report.parse(JSON.parse(await running.line())) };
  };

  /** Starts an owner that is expected to succeed. */
  const own = async (dataDir: string, options?: RunOptions): Promise<Owner> => {
    const { process: running, told } = await run(dataDir, options);
    if ('error' in told) throw new Error(told.error.message);
    return { process: running, ...told };
  };

  /** Starts an owner that is expected to be refused. */
  const refused = async (dataDir: string, options?: RunOptions): Promise<{ code: string; message: string }> => {
    const { process: running, told } = await run(dataDir, options);
    if (!('error' in told)) throw new Error('the start was not refused');
    await running.ended();
    return told.error;
  };

  return { newFolder, usedFolder, start, run, own, refused };
};
