import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, inject } from 'vitest';
import type { TestDatabase } from './database.ts';
import { freePort } from './redis-server.ts';
import { endsWithParent } from './service.ts';

/** Marks the tests that need the program, so that the report can count those it skipped. */
const mark = '[pgbouncer]';

/** A describe block that gets the pgbouncer of this machine, and is reported at the end of the run where there is none. */
export const describeWithPgbouncer = (name: string, fn: (program: string) => void): void => {
  const program = inject('pgbouncer');
  describe.runIf(program !== undefined)(`${name} ${mark}`, () => {
    fn(program ?? '');
  });
};

export interface PgbouncerOptions {
  /** Connections to the server, shared by all clients. */
  readonly poolSize: number;
  /** Further lines of its configuration. */
  readonly lines?: readonly string[];
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

const iniOf = (server: URL, port: number, { poolSize, lines = [] }: PgbouncerOptions): string => `[databases]
* = host=${server.hostname} port=${server.port} user=${decodeURIComponent(server.username)} password='${decodeURIComponent(server.password)}'

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 500
${lines.join('\n')}
`;

/** A pgbouncer in transaction mode, as its package sets it up otherwise. */
export class Pgbouncer {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
  }

  static async start(program: string, serverUrl: string, options: PgbouncerOptions): Promise<Pgbouncer> {
    const server = new URL(serverUrl);
    const port = await freePort();
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-pgbouncer-'));
    await fs.chmod(folder, 0o755);
    const ini = path.join(folder, 'pgbouncer.ini');
    await fs.writeFile(ini, iniOf(server, port, options), { mode: 0o644 });
    // It refuses to run as root.
    const asUser = process.geteuid?.() === 0 ? ['-u', 'nobody'] : [];
    const line = [...endsWithParent(), program, ...asUser, ini];
    const child = spawn(line[0] ?? program, line.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    for (const deadline = Date.now() + 10_000; !(await accepts(port));) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`pgbouncer does not start:\n${said}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const url = new URL(server);
    url.host = `127.0.0.1:${port}`;
    url.password = '';
    return new Pgbouncer(url.href, child, folder);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      // Quick: those who are still connected are cut.
      this.#child.kill('SIGTERM');
      await ended;
    }
    await fs.rm(this.#folder, { recursive: true, force: true });
  }
}

/** A pgbouncer before the file's database, from beforeAll to afterAll. Call it after {@link useDatabase}. */
export const usePgbouncer = (
  program: string,
  database: TestDatabase,
  options: PgbouncerOptions,
): { readonly url: string } => {
  let running: Pgbouncer | undefined;
  beforeAll(async () => {
    running = await Pgbouncer.start(program, database.url, options);
  });
  afterAll(() => running?.stop());
  return {
    get url() {
      if (!running) throw new Error('the pgbouncer of this block exists from beforeAll to afterAll');
      return running.url;
    },
  };
};

const sessionSettings = `SELECT (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE source = 'session' AND name <> 'application_name') AS settings,
  (SELECT count(*)::int FROM pg_prepared_statements) AS prepared, (SELECT count(*)::int FROM pg_listening_channels()) AS channels`;

/** What so many sessions at `url`, held at the same time, find set; the name apart, which pgbouncer sets for each client. */
export const settingsOfSessions = async (url: string, sessions: number): Promise<readonly unknown[]> => {
  const clients = Array.from({ length: sessions }, () => new Client({ connectionString: url }));
  try {
    for (const client of clients) {
      await client.connect();
      await client.query('BEGIN');
    }
    return await Promise.all(clients.map(async (client) => (await client.query(sessionSettings)).rows[0]));
  } finally {
    for (const client of clients) await client.end();
  }
};
