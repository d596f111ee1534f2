import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

export interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs Node as its argument. */
  readonly prefix?: readonly string[];
}

/** A script of `test/processes/` as a process of its own; its output is read line by line. */
export class RunningProcess {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  readonly #ended: Promise<number>;
  #closed = false;

  constructor(script: string, { args = [], env = {}, prefix = [] }: RunOptions = {}) {
    const file = path.join(import.meta.dirname, script);
    const [program = process.execPath, ...rest] = [...prefix, process.execPath, file, ...args];
    this.child = spawn(program, rest, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
    const { stdout } = this.child;
    if (!stdout) throw new Error('the process has no output');
    createInterface({ input: stdout })
      .on('line', (line) => {
        const next = this.#waiting.shift();
        if (next) next(line);
        else this.#lines.push(line);
      })
      .on('close', () => {
        this.#closed = true;
        for (const next of this.#waiting) next(undefined);
      });
    this.#ended = once(this.child, 'close').then(() => this.child.exitCode ?? -1);
  }

  /** The next line that the process prints. */
  async line(): Promise<string> {
    const line =
      this.#lines.shift() ??
      (this.#closed ? undefined : await new Promise<string | undefined>((resolve) => this.#waiting.push(resolve)));
    if (line === undefined) throw new Error('the process ended without another line');
    return line;
  }

  /** Sends the signal and waits for the end; answers the exit code, -1 for an end by a signal. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    this.child.kill(signal);
    return this.#ended;
  }

  ended(): Promise<number> {
    return this.#ended;
  }
}
