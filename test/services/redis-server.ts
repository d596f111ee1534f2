import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { endsWithParent } from './service.ts';

/** A port of this machine on which nothing listens. */
export const freePort = async (wanted = 0): Promise<number> => {
  const probe = net.createServer().listen(wanted, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
};

/** The nodes of a Cluster talk to each other on another port, ten thousand above their own. */
export const freePortOfNode = async (): Promise<number> => {
  for (;;) {
    const port = await freePort();
    const free = port + 10_000 < 65_536 && (await freePort(port + 10_000).catch(() => undefined)) !== undefined;
    if (free) return port;
  }
};

/** A server that asks for a password is up too. */
const answersPing = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => settle(/^(\+PONG|-NOAUTH)/.test(data.toString())));
    socket.once('error', () => settle(false));
  });

export interface RedisServerOptions {
  readonly args?: readonly string[];
  /** As a node of a Cluster, which it joins later. */
  readonly clustered?: boolean;
  /** The lines of a sentinel's configuration. */
  readonly sentinel?: readonly string[];
}

/** A Redis of a test's own, in memory only, that it may kill and start again on the same port. */
export class RedisServer {
  readonly port: number;
  readonly #program: string;
  readonly #folder: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #hangs = false;

  private constructor(program: string, port: number, folder: string, args: readonly string[]) {
    this.#program = program;
    this.port = port;
    this.#folder = folder;
    this.#args = args;
  }

  static async start(
    program: string,
    { args = [], clustered, sentinel }: RedisServerOptions = {},
  ): Promise<RedisServer> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-redis-'));
    const port = clustered ? await freePortOfNode() : await freePort();
    const node = clustered
      ? ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--repl-diskless-sync-delay', '0']
      : [];
    const common = ['--port', String(port), '--bind', '127.0.0.1'];
    const own = sentinel
      ? ['sentinel.conf', '--sentinel', ...common]
      : [...common, '--save', '', '--appendonly', 'no', ...node];
    const server = new RedisServer(program, port, folder, [...own, ...args]);
    try {
      if (sentinel) await fs.writeFile(path.join(folder, 'sentinel.conf'), `${sentinel.join('\n')}\n`);
      await server.run();
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts the process; after {@link kill} it begins empty. */
  async run(): Promise<void> {
    const [file = this.#program, ...rest] = [...endsWithParent(), this.#program, ...this.#args];
    const child = spawn(file, rest, { cwd: this.#folder, stdio: 'ignore', detached: true });
    this.#child = child;
    this.#hangs = false;
    for (const deadline = Date.now() + 10_000; !(await answersPing(this.port));) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with exit code ${child.exitCode}`);
      if (Date.now() > deadline) throw new Error('redis-server did not come up within ten seconds');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Stands still as a machine that hangs: connections stay, and nothing is answered. {@link kill} ends it all the same. */
  hang(): void {
    this.#child?.kill('SIGSTOP');
    this.#hangs = true;
  }

  /** False after {@link kill} and {@link hang}. */
  get answers(): boolean {
    return this.#isRunning && !this.#hangs;
  }

  get #isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Ends the process as a crash would; everything in it is lost. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || !this.#isRunning) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    await fs.rm(this.#folder, { recursive: true, force: true });
  }
}
