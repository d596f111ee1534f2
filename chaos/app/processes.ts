import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endsWithParent } from '../../test/services/service.ts';

export type AppRole = 'worker' | 'scheduler' | 'replicator';

export interface AppProcess {
  readonly role: AppRole;
  readonly pid: number;
  readonly child: ChildProcess;
}

const command = path.join(import.meta.dirname, '..', '..', 'bin', 'treadle.js');
const startedWithinMs = 60_000;

const isAlive = ({ child }: AppProcess): boolean => child.exitCode === null && child.signalCode === null;

/** The processes of the app, the way a Procfile runs them. What each writes to its log goes to a file in `folder`. */
export class AppProcesses {
  readonly #env: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #wanted: Readonly<Partial<Record<AppRole, number>>>;
  readonly #running = new Set<AppProcess>();
  #started = 0;

  constructor(
    folder: string,
    wanted: Readonly<Partial<Record<AppRole, number>>>,
    env: Readonly<Record<string, string>>,
  ) {
    this.#folder = folder;
    this.#wanted = wanted;
    this.#env = env;
  }

  all(role: AppRole): readonly AppProcess[] {
    return [...this.#running].filter((running) => running.role === role && isAlive(running));
  }

  /**
   * Starts one more, and waits until it runs or is ended by {@link end}.
   * @throws Error when it ends by itself before.
   */
  async start(role: AppRole): Promise<AppProcess> {
    this.#started += 1;
    const file = path.join(this.#folder, `${role}-${this.#started}.log`);
    const output = fs.openSync(file, 'a');
    const line = [...endsWithParent(), process.execPath, command, 'start', role];
    const child = spawn(line[0] ?? '', line.slice(1), {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'ignore', output],
    });
    fs.closeSync(output);
    const running: AppProcess = { role, pid: child.pid ?? 0, child };
    this.#running.add(running);
    const isStarted = (): boolean => fs.readFileSync(file, 'utf8').includes(`"event":"${role}.started"`);
    for (const deadline = Date.now() + startedWithinMs; !isStarted(); await delay(50)) {
      // Else somebody ended it on purpose.
      const isWanted = this.#running.has(running);
      if (!isWanted) break;
      if (!isAlive(running) || Date.now() > deadline) throw new Error(`a ${role} did not start; see ${file}`);
    }
    return running;
  }

  /** Starts what is missing. */
  async replenish(): Promise<void> {
    const missing = (['worker', 'scheduler', 'replicator'] as const).flatMap((role) =>
      Array.from({ length: Math.max(0, (this.#wanted[role] ?? 0) - this.all(role).length) }, () => this.start(role)),
    );
    await Promise.all(missing);
  }

  /** Ends the process by the signal; answers its exit code, null for an end by the signal. */
  async end(running: AppProcess, signal: NodeJS.Signals): Promise<number | null> {
    this.#running.delete(running);
    const { child } = running;
    if (!isAlive(running)) return child.exitCode;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  /** Ends all in order, and answers those that did not: role, pid and how they ended. */
  async endAll(): Promise<readonly string[]> {
    const ends = await Promise.all(
      [...this.#running].map(async (running) => {
        const code = await this.end(running, 'SIGTERM');
        return code === 0 ? [] : [`${running.role} ${running.pid}: ${running.child.signalCode ?? `exit code ${code}`}`];
      }),
    );
    return ends.flat();
  }

  killAll(): void {
    for (const { child } of this.#running) child.kill('SIGKILL');
    this.#running.clear();
  }
}
