import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';
import { findBinaries, type Binaries } from './binaries.ts';
import { folderFault, folderUnder, holdsServer, onFolder, type DataFolder } from './data-folder.ts';
import { initialise } from './initialise.ts';
import { launch } from './launch.ts';
import { choosePort, rememberPort } from './port.ts';
import { findPostmaster, stopPostmaster, waitUntilGone, type Postmaster } from './postmaster.ts';
import { becomeOwner, reach } from './reach.ts';

export interface OwnOptions {
  readonly dataDir: string;
  readonly log: Log;
  /** Settings of the server beside Treadle's own. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A command that runs the server as its argument. */
  readonly wrapper?: readonly string[];
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
  /** How long an orderly stop may take. */
  readonly stopTimeoutMs?: number;
}

/** Treadle's own Postgres, looked after by this process: started again on the same port when it dies. */
export interface OwnedServer {
  readonly url: string;
  /** `adopted`: it was running already, left by a process that was killed. */
  readonly how: 'created' | 'started' | 'adopted';
  /** The postmaster's process id now. */
  pid(): number;
  /** Stops the server. */
  close(): Promise<void>;
}

interface Held {
  readonly server: Postmaster;
  readonly client: pg.Client;
  readonly url: string;
}

const ownedByAnother = (dataDir: string): AppError =>
  folderFault(
    dataDir,
    'is in use by another Treadle. Commands and `start <role>` attach to its database; to run a second, separate Treadle give it a folder of its own',
  );

class Owner implements OwnedServer {
  readonly how: OwnedServer['how'];
  readonly url: string;
  readonly #options: OwnOptions;
  readonly #folder: DataFolder;
  readonly #binaries: Binaries;
  readonly #closing = new AbortController();
  #held: Held;
  #recovering: Promise<void> = Promise.resolve();
  #ours = true;

  constructor(options: OwnOptions, folder: DataFolder, binaries: Binaries, held: Held, how: OwnedServer['how']) {
    this.#options = options;
    this.#folder = folder;
    this.#binaries = binaries;
    this.#held = held;
    this.how = how;
    this.url = held.url;
    this.#watch();
  }

  pid(): number {
    return this.#held.server.pid;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#recovering;
    if (!this.#ours) return;
    const running = await findPostmaster(this.#folder);
    if (running) {
      const outcome = await stopPostmaster(running.pid, this.#options.stopTimeoutMs ?? 15_000);
      this.#options.log[outcome === 'clean' ? 'info' : 'warn']({ event: 'embedded.stopped', outcome });
    }
    await this.#held.client.end().catch(() => undefined);
  }

  /** The owner's connection ends when the server does. */
  #watch(): void {
    this.#held.client.once('end', () => {
      if (!this.#closing.signal.aborted) this.#recovering = this.#recover();
    });
  }

  async #recover(): Promise<void> {
    const { log } = this.#options;
    const signal = this.#closing.signal;
    log.warn({ event: 'embedded.connection-lost' });
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const held = await this.#regain();
        if (held) {
          this.#held = held;
          this.#watch();
          log.info({ event: 'embedded.recovered', serverPid: held.server.pid });
        } else {
          this.#ours = false;
          log.error({ event: 'embedded.taken-over' });
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        log.error({ event: 'embedded.recovery-failed', err: error });
        await delay(Math.min(5_000, 200 * 2 ** attempt), undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** The server again, on the port that everybody knows; undefined when another Treadle owns it by now. */
  async #regain(): Promise<Held | undefined> {
    let server = await findPostmaster(this.#folder);
    if (!server) {
      const outcome = await launch({
        ...this.#options,
        folder: this.#folder,
        binaries: this.#binaries,
        port: this.#held.server.port,
        signal: this.#closing.signal,
      });
      if (outcome === 'port-taken') throw new AppError('DB_CONNECTION_ERROR', 'the port is in use', {});
      server = await findPostmaster(this.#folder);
    }
    if (server?.status !== 'ready') throw new AppError('DB_CONNECTION_ERROR', 'the server is not ready', {});
    const { url, client } = await reach(this.#folder, server, 'owner');
    if (await becomeOwner(client)) return { server, url, client };
    await client.end();
    return undefined;
  }
}

/** Starts the server on a port that nobody uses, and keeps to it. */
const launchOnFreePort = async (options: OwnOptions, folder: DataFolder, binaries: Binaries): Promise<boolean> => {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const port = await choosePort(folder);
    const outcome = await launch({ ...options, folder, binaries, port });
    if (outcome === 'taken') return false;
    if (outcome === 'ready') {
      await onFolder(folder.dataDir, () => rememberPort(folder, port));
      return true;
    }
  }
  throw new AppError('DB_CONNECTION_ERROR', 'no free port was found for the embedded Postgres on 127.0.0.1', {
    host: '127.0.0.1',
  });
};

/**
 * Makes this process the owner of the Postgres in `dataDir`: creates the database, starts the server or adopts one that
 * was left running, and restarts it if it dies. The server outlives a `kill -9` of this process, so that work goes on
 * after the next start without recovery.
 * @throws AppError CONFIGURATION_ERROR for a folder that can't be used (permission, another version, damage) or that
 * another Treadle owns; DB_CONNECTION_ERROR when the server does not start.
 */
export const ownServer = async (options: OwnOptions): Promise<OwnedServer> => {
  const folder = folderUnder(options.dataDir);
  const binaries = await findBinaries();
  let how: OwnedServer['how'] = 'adopted';
  if (!(await holdsServer(folder))) {
    await initialise(folder, binaries);
    how = 'created';
  }
  for (;;) {
    const server = await onFolder(folder.dataDir, () => findPostmaster(folder));
    if (server?.status === 'ready') {
      const { url, client } = await reach(folder, server, 'owner');
      if (await becomeOwner(client)) {
        options.log.info({ event: 'embedded.ready', how, serverPid: server.pid, port: server.port });
        return new Owner(options, folder, binaries, { server, url, client }, how);
      }
      await client.end();
      throw ownedByAnother(options.dataDir);
    }
    // Not before: a server that this call has started is ours to stop, which its owner does.
    options.signal?.throwIfAborted();
    if (server?.status === 'stopping') await waitUntilGone(server.pid, 60_000);
    else if (server) await delay(50, undefined, options.signal ? { signal: options.signal } : {});
    else if ((await launchOnFreePort(options, folder, binaries)) && how === 'adopted') how = 'started';
  }
};
