import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll } from 'vitest';
import { endsWithParent } from '../services/service.ts';

const command = path.join(import.meta.dirname, '..', '..', 'bin', 'treadle.js');

/** The roles of Treadle as processes of their own, the way a Procfile runs them; what is left is killed after the file. */
export interface TreadleProcesses {
  /** Starts `treadle start <role>` and waits until it says that it runs. */
  start(
    role: 'api' | 'worker' | 'scheduler' | 'replicator',
    env: Readonly<Record<string, string>>,
  ): Promise<ChildProcess>;
  /** Ends the process by the signal and answers its exit code; null for an end by the signal. */
  end(child: ChildProcess, signal?: NodeJS.Signals): Promise<number | null>;
}

const started = {
  api: 'api.listening',
  worker: 'worker.started',
  scheduler: 'scheduler.started',
  replicator: 'replicator.started',
} as const;

const untilLogged = (child: ChildProcess, event: string): Promise<void> =>
  new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes(`"event":"${event}"`)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`ended with ${code} before ${event}:\n${text}`)));
  });

export const useTreadleProcesses = (): TreadleProcesses => {
  const running = new Set<ChildProcess>();
  const end = async (child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    running.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    return child.exitCode;
  };
  afterAll(async () => {
    for (const child of running) await end(child, 'SIGKILL');
  });
  return {
    start: async (role, env) => {
      const line = [...endsWithParent(), process.execPath, command, 'start', role];
      const child = spawn(line[0] ?? '', line.slice(1), {
        env: { ...process.env, LOG_LEVEL: 'info', ...env },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      running.add(child);
      await untilLogged(child, started[role]);
      return child;
    },
    end,
  };
};
