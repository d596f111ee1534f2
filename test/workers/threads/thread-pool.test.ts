import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { ThreadPool } from '../../../src/workers/threads/thread-pool.ts';
import { handle } from '../../../src/queues/handle.ts';
import { act } from '../../queues/threads/contracts.ts';
import { runIn } from '../../queues/threads/run-in.ts';

const module = new URL('../../queues/threads/act.ts', import.meta.url);

test('a thread is used again, and ended when it has been idle for its time', async () => {
  const pool = new ThreadPool({ size: 1, idleMs: 500 });
  const handler = await pool.bind(handle(act, { isolation: 'thread', module }));
  const count = async () => (await runIn(handler, 'counts')) as { runs: number; threadId: number };
  const first = await count();
  expect(await count()).toEqual({ runs: first.runs + 1, threadId: first.threadId });
  await expect.poll(async () => (await count()).threadId, { interval: 700, timeout: 5_000 }).not.toBe(first.threadId);
  await pool.close();
});

test('an idle thread with another memory limit makes room, and no place is lost by it', async () => {
  const pool = new ThreadPool({ size: 1 });
  const plenty = await pool.bind(handle(act, { isolation: 'thread', module }));
  const little = await pool.bind(handle(act, { isolation: 'thread', module, maxHeapMb: 64 }));
  const answers = [plenty, little, plenty].map((handler) => runIn(handler, 'answers'));
  expect(await Promise.all(answers)).toHaveLength(3);
  expect(await runIn(plenty, 'answers')).toMatchObject({ thread: true });
  await pool.close();
});

test('where only the compiled module exists, that is taken', async () => {
  const folder = await mkdtemp(path.join(import.meta.dirname, 'compiled-'));
  await copyFile(path.join(import.meta.dirname, 'compiled.js'), path.join(folder, 'act.js'));
  const pool = new ThreadPool({ size: 1 });
  const written = pathToFileURL(path.join(folder, 'act.ts'));
  const handler = await pool.bind(handle(act, { isolation: 'thread', module: written }));
  expect(await runIn(handler, 'compiled')).toBe('compiled');
  await pool.close();
  await rm(folder, { recursive: true });
});

test('what a handler in a thread logs is a line of the worker, with its job and nothing that is hidden of it', () => {
  const script = path.join(import.meta.dirname, '../../queues/threads/log-a-line.ts');
  const { stderr, status } = spawnSync(process.execPath, [script], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect(JSON.parse(stderr)).toMatchObject({
    level: 'warn',
    event: 'tests.logged',
    job: 'threads.act',
    jobId: 'job-1',
    attempt: 1,
    err: { message: 'logged [redacted]' },
  });
  expect(stderr).not.toContain('sesame');
});
