import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { afterAll } from 'vitest';

export const root = path.join(import.meta.dirname, '..', '..');

export interface Run {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** The Node that runs the command; the one of the tests unless given. */
  readonly node?: string;
}

export interface StartedRun {
  readonly process: ChildProcess;
  /** What has been printed on both streams so far. */
  printed(): string;
  readonly ended: Promise<Run>;
}

const running = new Set<ChildProcess>();
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
});

/** Variables that would change what the command does are left out of what it inherits. */
export const inherited: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value = '']) =>
    /^(?:PATH|HOME|TMPDIR|LANG|USER|NODE_COMPILE_CACHE)$/.test(name) ? [[name, value]] : [],
  ),
);

/** Starts the real command in a process of its own. */
export const startTreadle = (
  args: readonly string[],
  { env, input, node = process.execPath }: RunOptions = {},
): StartedRun => {
  const child = spawn(node, [path.join(root, 'bin', 'treadle.js'), ...args], {
    cwd: root,
    env: { ...inherited, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end(input ?? '');
  const ended = new Promise<Run>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      running.delete(child);
      resolve({ exitCode, signal, stdout, stderr });
    });
  });
  return { process: child, printed: () => stdout + stderr, ended };
};

/** Runs the real command to its end. */
export const runTreadle = (args: readonly string[], options?: RunOptions): Promise<Run> =>
  startTreadle(args, options).ended;
