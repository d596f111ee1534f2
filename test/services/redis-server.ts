import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { endsWithParent } from './service.ts';

const freePort = async (): Promise<number> => {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
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

/** A Redis of a test's own, in memory only, that it may kill and start again on the same port. */
export class RedisServer {
  readonly #program: string;
  readonly #port: number;
  readonly #folder: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(program: string, port: number, folder: string, args: readonly string[]) {
    this.#program = program;
    this.#port = port;
    this.#folder = folder;
    this.#args = args;
  }

  static async start(program: string, args: readonly string[] = []): Promise<RedisServer> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-redis-'));
    const server = new RedisServer(program, await freePort(), folder, args);
    try {
      await server.run();
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** Starts the process; after {@link kill} it begins empty. */
  async run(): Promise<void> {
    const settings = ['--port', String(this.#port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const [file = this.#program, ...rest] = [...endsWithParent(), this.#program, ...settings, ...this.#args];
    const child = spawn(file, rest, { cwd: this.#folder, stdio: 'ignore', detached: true });
    this.#child = child;
    for (const deadline = Date.now() + 10_000; !(await answersPing(this.#port));) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with exit code ${child.exitCode}`);
      if (Date.now() > deadline) throw new Error('redis-server did not come up within ten seconds');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Ends the process as a crash would; everything in it is lost. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    await fs.rm(this.#folder, { recursive: true, force: true });
  }
}
