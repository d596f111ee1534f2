import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { z } from 'zod';
import { inherited, root, type Run } from './run-treadle.ts';

/** Runs a command to its end. */
export type CommandLine = (args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<Run>;

/** Follows what a command printed, on both streams; no command prints it. */
const mark = '\u0000end of the command\u0000';
const ended = z.object({ exitCode: z.number(), left: z.array(z.string()) });

/** Undefined until both streams have come to their marks. @throws Error when the command left something open. */
const toRun = (stdout: string, stderr: string): Run | undefined => {
  const [printed = '', how] = stdout.split(mark);
  if (!how?.endsWith('\n') || !stderr.endsWith(`${mark}\n`)) return undefined;
  const { exitCode, left } = ended.parse(JSON.parse(how));
  if (left.length > 0) throw new Error(`the command would not end, for it leaves open: ${left.join(', ')}`);
  return { exitCode, signal: null, stdout: printed, stderr: stderr.slice(0, -mark.length - 1) };
};

/**
 * Runs commands in one process for the file, one after another. The program is the real one, and so are its environment and
 * its streams; only the start of Node and the loading of modules, which take longer than most commands, are shared. What is
 * about the process (signals, standard input, its end) is tested with `runTreadle`.
 */
export const useCommandLine = (): CommandLine => {
  let child: ChildProcess | undefined;
  let stdout = '';
  let stderr = '';
  let look = (): void => undefined;
  let last: Promise<unknown> = Promise.resolve();

  beforeAll(async () => {
    const file = path.join(import.meta.dirname, 'resident-commands.ts');
    child = fork(file, { cwd: root, env: inherited, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      look();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      look();
    });
    await once(child, 'message');
  });
  afterAll(async () => {
    if (!child?.connected) return;
    const gone = once(child, 'exit');
    child.disconnect();
    await gone;
  });

  const run = async (args: readonly string[], env: Readonly<Record<string, string>>): Promise<Run> => {
    const { promise, resolve, reject } = Promise.withResolvers<Run>();
    look = () => {
      try {
        const result = toRun(stdout, stderr);
        if (result) resolve(result);
      } catch (error) {
        reject(error);
      }
    };
    const onExit = (code: number | null): void =>
      reject(new Error(`the process of the commands ended with ${code}:\n${stdout}${stderr}`));
    child?.once('exit', onExit);
    child?.send({ mark, args, env: { ...inherited, ...env } });
    try {
      return await promise;
    } finally {
      child?.off('exit', onExit);
      [stdout, stderr] = ['', ''];
    }
  };
  return (args, env = {}) => {
    const running = last.then(() => run(args, env));
    last = running.catch(() => undefined);
    return running;
  };
};
