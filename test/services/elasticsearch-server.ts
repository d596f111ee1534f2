import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chooseRunAs, commandOf, giveTo } from '../../src/lib/embedded/run-as.ts';
import type { ElasticsearchProgram } from './elasticsearch-program.ts';
import { freePort } from './redis-server.ts';
import { endsWithParent } from './service.ts';

const settingsOf = (folder: string, port: number, transport: number): string =>
  [
    'cluster.name: treadle-tests',
    'discovery.type: single-node',
    'network.host: 127.0.0.1',
    `http.port: ${port}`,
    `transport.port: ${transport}`,
    `path.data: ${folder}/data`,
    `path.logs: ${folder}/logs`,
    'xpack.security.enabled: false',
    'xpack.ml.enabled: false',
    // The disks of test machines are rarely empty.
    'cluster.routing.allocation.disk.threshold_enabled: false',
    '',
  ].join('\n');

const startTimeoutMs = 120_000;

/** An Elasticsearch of a test run's own, in a temporary folder, that may be killed and started again on the same port. */
export class ElasticsearchServer {
  readonly port: number;
  readonly #program: ElasticsearchProgram;
  readonly #folder: string;
  readonly #heapMegabytes: number;
  #child: ChildProcess | undefined;

  private constructor(program: ElasticsearchProgram, folder: string, port: number, heapMegabytes: number) {
    this.#program = program;
    this.#folder = folder;
    this.port = port;
    this.#heapMegabytes = heapMegabytes;
  }

  /** `heapMegabytes`: 512 unless given. */
  static async start(program: ElasticsearchProgram, { heapMegabytes = 512 } = {}): Promise<ElasticsearchServer> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-elasticsearch-'));
    const server = new ElasticsearchServer(program, folder, await freePort(), heapMegabytes);
    try {
      await server.#prepare();
      await server.run();
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts the process; after {@link kill} with what it had on disk. */
  async run(): Promise<void> {
    const { home, javaHome } = this.#program;
    await fs.rm(this.#pidFile, { force: true });
    const runAs = chooseRunAs(path.join(javaHome, 'bin', 'java'), this.#folder, path.join(this.#folder, 'data'));
    giveTo(runAs, this.#folder);
    const [program, ...args] = [
      ...endsWithParent(),
      'bash',
      path.join(home, 'bin', 'elasticsearch'),
      '-p',
      this.#pidFile,
    ];
    const command = commandOf(runAs, program, args);
    const log = await fs.open(path.join(this.#folder, 'output.log'), 'a');
    const child = spawn(command.file, [...command.args], {
      ...runAs.spawnOptions,
      cwd: this.#folder,
      // The server ends when the other end of its input does.
      stdio: ['pipe', log.fd, log.fd],
      env: {
        PATH: process.env['PATH'],
        HOME: this.#folder,
        ES_JAVA_HOME: javaHome,
        ES_PATH_CONF: path.join(this.#folder, 'config'),
        ES_TMPDIR: path.join(this.#folder, 'tmp'),
        ES_JAVA_OPTS: `-Xms${this.#heapMegabytes}m -Xmx${this.#heapMegabytes}m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UseG1GC`,
      },
    });
    await log.close();
    this.#child = child;
    for (const deadline = Date.now() + startTimeoutMs; !(await this.#answers());) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`Elasticsearch does not start:\n${await this.#lastWords()}`);
      }
      await delay(100);
    }
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    const pid = await this.pid();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    child.kill('SIGKILL');
    await gone;
  }

  /** Of the server itself; undefined while there is none. */
  async pid(): Promise<number | undefined> {
    const text = await fs.readFile(this.#pidFile, 'utf8').catch(() => '');
    return text.trim() === '' ? undefined : Number(text);
  }

  async stop(): Promise<void> {
    await this.kill();
    await fs.rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  get #pidFile(): string {
    return path.join(this.#folder, 'pid');
  }

  async #prepare(): Promise<void> {
    for (const name of ['config', 'data', 'logs', 'tmp']) await fs.mkdir(path.join(this.#folder, name));
    await fs.cp(path.join(this.#program.home, 'config'), path.join(this.#folder, 'config'), { recursive: true });
    const settings = settingsOf(this.#folder, this.port, await freePort());
    await fs.writeFile(path.join(this.#folder, 'config', 'elasticsearch.yml'), settings);
    await fs.chmod(this.#folder, 0o755);
  }

  async #answers(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.url}/_cluster/health?wait_for_status=yellow&timeout=1s`, {
        signal: AbortSignal.timeout(5_000),
      });
      await answer.arrayBuffer();
      return answer.ok;
    } catch {
      return false;
    }
  }

  async #lastWords(): Promise<string> {
    const text = await fs.readFile(path.join(this.#folder, 'output.log'), 'utf8').catch(() => '');
    return text.trim().split('\n').slice(-10).join('\n');
  }
}
