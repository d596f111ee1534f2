import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { findBinaries, type Binaries } from '../../src/lib/embedded/binaries.ts';
import { folderUnder, urlOf, type DataFolder } from '../../src/lib/embedded/data-folder.ts';
import { initialise } from '../../src/lib/embedded/initialise.ts';
import { launch } from '../../src/lib/embedded/launch.ts';
import { readPostmaster, stopPostmaster, waitUntilGone } from '../../src/lib/embedded/postmaster.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { freePort } from './redis-server.ts';
import { endsWithParent } from './service.ts';

type Settings = Readonly<Record<string, string>>;

/** As initdb noted them: a standby may not have fewer. */
const noted: Settings = { max_worker_processes: '8', max_connections: '100' };
const hasty: Settings = { fsync: 'off', full_page_writes: 'off', shared_buffers: '32MB' };
const log = createLog({ level: 'silent' });

const newFolder = async (): Promise<DataFolder> => {
  const dataDir = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-private-'));
  await fs.chmod(dataDir, 0o755);
  return folderUnder(dataDir);
};

/** A Postgres of a test's own, that it may kill, start again on the same port, and have followed by another. */
export class PrivatePostgres {
  readonly url: string;
  readonly #folder: DataFolder;
  readonly #binaries: Binaries;
  readonly #port: number;
  readonly #settings: Settings;

  private constructor(url: string, folder: DataFolder, binaries: Binaries, port: number, settings: Settings) {
    this.url = url;
    this.#folder = folder;
    this.#binaries = binaries;
    this.#port = port;
    this.#settings = settings;
  }

  /** Made and started. */
  static async start(settings: Settings = {}): Promise<PrivatePostgres> {
    const { primary } = await PrivatePostgres.#make();
    await primary.start(settings);
    return primary;
  }

  /** Two servers, the second of which streams from the first. */
  static async startPair(): Promise<{ readonly primary: PrivatePostgres; readonly replica: PrivatePostgres }> {
    const { primary, binaries } = await PrivatePostgres.#make();
    const folder = await newFolder();
    await fs.cp(primary.#folder.root, folder.root, { recursive: true });
    await fs.writeFile(path.join(folder.data, 'standby.signal'), '');
    const { username, password, port } = new URL(primary.url);
    const conninfo = `host=127.0.0.1 port=${port} user=${username} password=${decodeURIComponent(password)}`;
    const [url, own] = await PrivatePostgres.#addressOf(folder);
    const settings = {
      primary_conninfo: conninfo,
      max_standby_streaming_delay: '0',
      wal_retrieve_retry_interval: '100ms',
    };
    const replica = new PrivatePostgres(url, folder, binaries, own, settings);
    await primary.start();
    await replica.start();
    return { primary, replica };
  }

  static async #make(): Promise<{ primary: PrivatePostgres; binaries: Binaries }> {
    const [binaries, folder] = [await findBinaries(), await newFolder()];
    await initialise(folder, binaries);
    const [url, port] = await PrivatePostgres.#addressOf(folder);
    return { primary: new PrivatePostgres(url, folder, binaries, port, {}), binaries };
  }

  static async #addressOf(folder: DataFolder): Promise<readonly [url: string, port: number]> {
    const port = await freePort();
    return [await urlOf(folder, port), port];
  }

  /** `settings`: beside, or instead of, its own. */
  async start(settings: Settings = {}): Promise<void> {
    const outcome = await launch({
      folder: this.#folder,
      binaries: this.#binaries,
      port: this.#port,
      log,
      settings: { ...noted, ...hasty, ...this.#settings, ...settings },
      wrapper: endsWithParent(),
    });
    if (outcome !== 'ready') throw new Error(`the server does not start: ${outcome}`);
  }

  async pid(): Promise<number> {
    return (await readPostmaster(this.#folder))?.pid ?? 0;
  }

  /** SIGINT ends it in order, with its connections cut; SIGKILL as a power cut does. */
  async stop(signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
    const pid = await this.pid();
    if (pid === 0) return;
    if (signal === 'SIGINT') await stopPostmaster(pid, 10_000);
    else {
      process.kill(pid, 'SIGKILL');
      await waitUntilGone(pid, 10_000);
    }
  }

  /** Ends it and removes its data. */
  async remove(): Promise<void> {
    await this.stop('SIGINT').catch(() => undefined);
    await fs.rm(this.#folder.dataDir, { recursive: true, force: true });
  }
}
