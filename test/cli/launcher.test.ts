import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { runTreadle, startTreadle } from './run-treadle.ts';

const database = useDatabase();

/** The machine's own Node, of whatever version, or the one of the tests where there is no other. */
const machineNode = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .filter((folder) => !folder.includes('node_modules') && folder !== path.dirname(process.execPath))
  .map((folder) => path.join(folder, 'node'))
  .find((file) => {
    try {
      return readFileSync(file).length > 0;
    } catch {
      return false;
    }
  });
const node = machineNode ?? process.execPath;

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** A process that waits for a job that never finishes, and the ids of all its processes. */
const startWaiting = async () => {
  const env = { DATABASE_URL: database.url };
  const accepted = await runTreadle(['enqueue', 'embeddings.backfill', '{}', '--delay', '3600', '--json'], { env });
  const { id } = JSON.parse(accepted.stdout) as { id: string };
  const started = startTreadle(['jobs', 'wait', id, '--timeout', '600'], { env: { ...env, LOG_LEVEL: 'debug' }, node });
  const connected = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'treadle:listen%'`;
  for (const deadline = Date.now() + 20_000; (await database.query(connected)).length === 0;) {
    if (Date.now() > deadline) throw new Error(`it does not wait: ${started.printed()}`);
  }
  const { pid } = started.process;
  if (pid === undefined) throw new Error('it was not started');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return { ...started, pids: [pid, ...children.split(' ').filter(Boolean).map(Number)] };
};

const untilGone = async (pids: readonly number[]): Promise<void> => {
  for (const deadline = Date.now() + 10_000; pids.some(isAlive);) {
    if (Date.now() > deadline) throw new Error(`still running: ${pids.filter(isAlive).join(', ')}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
};

describe('the command under the Node of the machine', () => {
  it('passes arguments, input, output and the exit code through', async () => {
    const help = await runTreadle(['--version'], { node });
    expect(help).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await runTreadle(['jobs', 'show', 'x'], { node })).exitCode).toBe(2);
    const env = { DATABASE_URL: database.url };
    const read = await runTreadle(['enqueue', 'embeddings.backfill', '-', '--delay', '60'], { node, env, input: '{}' });
    expect(read.exitCode).toBe(0);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends by %s in order, and leaves no process', async (signal, exitCode) => {
    const { process: child, ended, pids } = await startWaiting();
    child.kill(signal);
    expect(await ended).toMatchObject({ exitCode, stdout: '' });
    await untilGone(pids);
  });

  it('leaves no process when it is killed', async () => {
    const { process: child, ended, pids } = await startWaiting();
    child.kill('SIGKILL');
    expect(await ended).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    await untilGone(pids);
  });
});
