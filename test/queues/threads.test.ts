import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import type { JobRecord } from '../../src/queues/ledger/job-record.ts';
import { completed } from '../../src/queues/outcome.ts';
import { startWorker } from '../../src/workers/worker.ts';
import { useDatabase, type TestDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { act, beside, frugal } from './threads/contracts.ts';
import { useTreadle, type TestTreadle } from './use-treadle.ts';

const lockMs = 1_000;
const thread = (file: string) => ({
  isolation: 'thread' as const,
  module: new URL(`./threads/${file}`, import.meta.url),
});

interface Running {
  readonly treadle: TestTreadle;
  readonly database: TestDatabase;
  readonly enqueue: (
    payload: { how: string; ms?: number; at?: string; file?: string },
    timeoutMs?: number,
  ) => Promise<string>;
  readonly finished: (id: string) => Promise<JobRecord | undefined>;
  /** Waits until the handler has said so. */
  readonly begun: (id: string) => Promise<void>;
}

const suite = (redis?: TestRedis, extra?: (running: Running) => void): void => {
  const database = useDatabase();
  const ran: number[] = [];
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [act, frugal, beside],
    queues: [defineQueue({ name: 'threads', concurrency: 4, lockMs })],
    handlers: [
      handle(act, thread('act.ts')),
      handle(frugal, { ...thread('frugal.ts'), maxHeapMb: 64 }),
      handle(beside, async ({ payload: { n } }) => {
        ran.push(n);
        return completed(n);
      }),
    ],
  });
  const enqueue: Running['enqueue'] = async (payload, timeoutMs) =>
    (await treadle.platform.enqueuer.enqueue(act, payload, { timeoutMs })).id;
  const finished: Running['finished'] = (id) => treadle.platform.jobs.wait(id, 20_000);
  const begun: Running['begun'] = async (id) =>
    await expect
      .poll(async () => (await treadle.platform.jobs.find(id))?.progress, { timeout: 15_000, interval: 10 })
      .toMatchObject({ fraction: 0.25 });

  test('a loop that blocks for several locks costs neither its own job nor those beside it', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const folder = await mkdtemp(path.join(os.tmpdir(), 'treadle-'));
    const file = path.join(folder, 'enough');
    const id = await enqueue({ how: 'blocks until there is a file', ms: lockMs * 3, file });
    await begun(id);
    const others = await enqueuer.enqueueMany(
      beside,
      Array.from({ length: 50 }, (_, n) => ({ n })),
    );
    for (const other of others) expect(await finished(other.id)).toMatchObject({ state: 'completed', attemptsMade: 1 });
    expect(await jobs.find(id)).toMatchObject({ state: 'active' });
    await writeFile(file, '');
    expect(await finished(id)).toMatchObject({ state: 'completed', result: 'at last', attemptsMade: 1, failures: [] });
    expect(ran).toHaveLength(50);
    await rm(folder, { recursive: true });
  });

  test('a blocked loop can be cancelled, and its place is free afterwards', async () => {
    const id = await enqueue({ how: 'blocks', ms: 15_000 });
    await begun(id);
    await treadle.platform.jobs.cancel(id);
    expect(await finished(id)).toMatchObject({ state: 'cancelled', result: null });
    expect(await finished(await enqueue({ how: 'answers' }))).toMatchObject({ state: 'completed' });
  });

  test('a worker that closes hands back what runs in its threads', async () => {
    const id = await enqueue({ how: 'waits for its signal' });
    await begun(id);
    const before = (await treadle.platform.jobs.find(id))?.startedAt;
    await treadle.replaceWorker();
    await expect
      .poll(async () => (await treadle.platform.jobs.find(id))?.startedAt, { timeout: 10_000 })
      .not.toEqual(before);
    expect(await treadle.platform.jobs.find(id)).toMatchObject({ state: 'active', attemptsMade: 0, failures: [] });
    await treadle.platform.jobs.cancel(id);
    expect(await finished(id)).toMatchObject({ state: 'cancelled' });
  });

  extra?.({ treadle, database, enqueue, finished, begun });
};

const dead = (code: string, message: unknown) => ({ state: 'dead', attemptsMade: 1, error: { code, message } });
const named = (text: string): unknown => expect.stringContaining(text);

/** What a handler in a thread may do, and how its job ends. */
const endings: readonly (readonly [string, object])[] = [
  ['fails for good', dead('NOT_FOUND', 'no such picture')],
  ['fails with a code', dead('ENOSPC', 'disk full')],
  ['throws what is not worth another attempt', dead('FORBIDDEN', 'not yours')],
  ['throws an outcome', dead('Error', 'deep inside')],
  ['is limited once', { state: 'completed', result: 1, failures: [] }],
  ['answers a function', dead('VALIDATION_ERROR', named('the result of threads.act: cannot be written as JSON'))],
  ['answers a cycle', dead('VALIDATION_ERROR', named('cyclic'))],
  ['answers what cannot be sent', dead('VALIDATION_ERROR', named('could not be cloned'))],
  ['answers nothing', dead('VALIDATION_ERROR', named('must be an outcome'))],
  ['exits', dead('SERVICE_UNAVAILABLE', 'the thread of this job ended with exit code 3')],
  ['throws where nobody catches', dead('SERVICE_UNAVAILABLE', named('out of the blue'))],
];

/** What is the same whatever carries the jobs. */
const details = ({ treadle, database, enqueue, finished, begun }: Running): void => {
  test('a handler in a thread gets its payload parsed, and says how far it is', async () => {
    const one = await enqueue({ how: 'answers', at: '2026-01-31T09:00:00Z' });
    const result = { thread: true, isDate: true, attempt: 1, id: one };
    expect(await finished(one)).toMatchObject({ state: 'completed', result });
    const two = await enqueue({ how: 'says how far it is' });
    expect(await finished(two)).toMatchObject({ progress: { fraction: 0.5, note: 'half way' } });
  });

  test('whatever a handler in a thread does ends its own job only', async () => {
    const neighbour = await enqueue({ how: 'waits for its signal' }, 60_000);
    await begun(neighbour);
    for (const [how, ending] of endings)
      expect([how, await finished(await enqueue({ how }))]).toMatchObject([how, ending]);
    const { id } = await treadle.platform.enqueuer.enqueue(frugal, { how: 'needs all memory' });
    const limit = 'the thread of this job needed more memory than its limit of 64 MiB';
    expect(await finished(id)).toMatchObject(dead('SERVICE_UNAVAILABLE', limit));
    const [unfit] = await database.query<{ id: string }>(`SELECT treadle.enqueue('threads.act', '{"how": 1}') AS id`);
    expect(await finished(unfit?.id ?? '')).toMatchObject(dead('VALIDATION_ERROR', named('how: ')));
    expect(await treadle.platform.jobs.find(neighbour)).toMatchObject({ state: 'active', attemptsMade: 0 });
    await treadle.platform.jobs.cancel(neighbour);
    expect(await finished(neighbour)).toMatchObject({ state: 'cancelled' });
  });

  test('a loop that never yields sees that it is cancelled when it looks, and its thread goes on', async () => {
    const counted = async () => (await finished(await enqueue({ how: 'counts' })))?.result as { runs: number };
    const { runs } = await counted();
    const id = await enqueue({ how: 'blocks, and looks', ms: 15_000 });
    await begun(id);
    await treadle.platform.jobs.cancel(id);
    expect(await finished(id)).toMatchObject({ state: 'cancelled' });
    expect((await counted()).runs).toBe(runs + 1);
  });

  test('a blocked loop is ended at its deadline, for which waiting for a thread does not count', async () => {
    const ids = await Promise.all(Array.from({ length: 4 }, () => enqueue({ how: 'blocks', ms: 500 }, 800)));
    for (const id of ids) expect(await finished(id)).toMatchObject({ state: 'completed' });
    const blocked = await enqueue({ how: 'blocks', ms: 15_000 }, 200);
    expect(await finished(blocked)).toMatchObject({ state: 'dead', error: { code: 'TIMEOUT' } });
  });

  test.for([
    ['throws.ts', 'does not load: this module cannot be loaded'],
    ['missing.ts', 'does not exist'],
    ['nothing.ts', 'must export by default what threadHandler(contract, run) makes'],
    ['frugal.ts', 'is made for threads.frugal'],
  ] as const)('a worker does not start with the module %s, and says why', async ([file, reason]) => {
    const handlers = [handle(act, thread(file))];
    await expect(startWorker(treadle.platform, { handlers })).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringMatching(new RegExp(`threads.act, .*${file}, ${reason.replaceAll(/[()]/g, '\\$&')}`)),
    });
  });
};

describe('handlers in threads, BullMQ on Postgres', () => {
  suite(undefined, details);
});
describeWithRedis('handlers in threads, BullMQ on Redis', () => {
  suite(useRedis());
});
