import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import type { Binaries } from './binaries.ts';
import { keepOwner, onFolder, type DataFolder } from './data-folder.ts';
import { isFree } from './port.ts';
import {
  findPostmaster,
  leftAPostmasterFile,
  readPostmaster,
  removeMisleadingFile,
  stopPostmaster,
} from './postmaster.ts';
import { chooseRunAs, commandOf, giveTo } from './run-as.ts';

/** For a server that shares a small machine with everything else. */
const baseSettings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  cluster_name: 'treadle',
  wal_level: 'logical',
  max_connections: '100',
  shared_buffers: '64MB',
  io_method: 'sync',
  max_worker_processes: '4',
  max_parallel_workers: '2',
  autovacuum_max_workers: '2',
  max_logical_replication_workers: '0',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
};

export interface LaunchOptions {
  readonly folder: DataFolder;
  readonly binaries: Binaries;
  readonly port: number;
  readonly log: Log;
  /** Settings of the server beside Treadle's own. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** A command that runs the server as its argument. */
  readonly wrapper?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `taken`: another process started a server in the folder first. `port-taken`: something else listens on the port. */
export type LaunchOutcome = 'ready' | 'taken' | 'port-taken' | 'failed';

const maxLogBytes = 10_000_000;
const startTimeoutMs = 600_000;

/** Opens the server's log for appending; a long one is put aside as `server.log.1`. */
const openLog = async (folder: DataFolder): Promise<{ handle: fs.FileHandle; size: number }> => {
  const size = (await fs.stat(folder.log).catch(() => undefined))?.size ?? 0;
  if (size > maxLogBytes) await fs.rename(folder.log, `${folder.log}.1`);
  const handle = await fs.open(folder.log, 'a', 0o600);
  await keepOwner(folder, folder.log);
  return { handle, size: size > maxLogBytes ? 0 : size };
};

const spawnServer = async (options: LaunchOptions): Promise<{ child: ChildProcess; logOffset: number }> => {
  const { folder, binaries, port, settings = {}, wrapper = [] } = options;
  const runAs = chooseRunAs(binaries.postgres, folder.root, folder.data);
  giveTo(runAs, folder.data);
  const server = [binaries.postgres, '-D', folder.data, '-p', String(port)];
  for (const [name, value] of Object.entries({ ...baseSettings, ...settings })) server.push('-c', `${name}=${value}`);
  const [program = binaries.postgres, ...args] = [...wrapper, ...server];
  const command = commandOf(runAs, program, args);
  const { handle, size } = await openLog(folder);
  try {
    const child = spawn(command.file, [...command.args], {
      cwd: folder.root,
      detached: true,
      stdio: ['ignore', handle.fd, handle.fd],
      ...runAs.spawnOptions,
    });
    child.once('error', (error) => options.log.error({ event: 'embedded.spawn-failed', err: error }));
    child.unref();
    return { child, logOffset: size };
  } finally {
    await handle.close();
  }
};

const hasEnded = (child: ChildProcess): boolean =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null;

const waitUntilReady = async (options: LaunchOptions, child: ChildProcess): Promise<boolean> => {
  const startedAt = Date.now();
  let toldAt = startedAt;
  while (!hasEnded(child)) {
    const found = await readPostmaster(options.folder);
    if (found?.pid === child.pid && found?.status === 'ready') return true;
    const now = Date.now();
    if (options.signal?.aborted || now - startedAt > startTimeoutMs) {
      if (child.pid !== undefined) await stopPostmaster(child.pid, 10_000);
      options.signal?.throwIfAborted();
      return false;
    }
    if (now - toldAt > 5_000) {
      toldAt = now;
      options.log.info({ event: 'embedded.recovering', elapsedMs: now - startedAt });
    }
    await delay(10);
  }
  return false;
};

/** What the server wrote since this start, its last lines. */
const lastWords = async (folder: DataFolder, offset: number): Promise<string> => {
  const text = (await fs.readFile(folder.log).catch(() => Buffer.alloc(0))).subarray(offset).toString('utf8');
  return text.trim().split('\n').slice(-5).join('\n');
};

const launchOnce = async (options: LaunchOptions): Promise<{ outcome: LaunchOutcome; said: string }> => {
  await removeMisleadingFile(options.folder);
  const { child, logOffset } = await spawnServer(options);
  if (await waitUntilReady(options, child)) return { outcome: 'ready', said: '' };
  if (await findPostmaster(options.folder)) return { outcome: 'taken', said: '' };
  const said = await lastWords(options.folder, logOffset);
  return { outcome: (await isFree(options.port)) ? 'failed' : 'port-taken', said };
};

/**
 * Starts the server of the folder and waits until it accepts connections. After an unclean end it is tried for a few
 * seconds, because Postgres refuses while processes of its predecessor are still ending.
 * @throws AppError DB_CONNECTION_ERROR with the server's last words when it can't start.
 */
export const launch = (options: LaunchOptions): Promise<Exclude<LaunchOutcome, 'failed'>> =>
  onFolder(options.folder.dataDir, async () => {
    const retryUntil = Date.now() + ((await leftAPostmasterFile(options.folder)) ? 5_000 : 0);
    for (;;) {
      const { outcome, said } = await launchOnce(options);
      if (outcome !== 'failed') return outcome;
      if (Date.now() >= retryUntil) {
        throw new AppError(
          'DB_CONNECTION_ERROR',
          `the embedded Postgres of ${options.folder.dataDir} (TREADLE_DATA_DIR) does not start; ${options.folder.log} ends with:\n${said}`,
          {},
          { retryable: false },
        );
      }
      await delay(100);
    }
  });
