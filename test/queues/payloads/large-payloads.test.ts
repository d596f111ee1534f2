import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { pruneExpired } from '../../../src/jobs/maintenance/prune-expired.ts';
import { defineJob } from '../../../src/queues/define-job.ts';
import { flow } from '../../../src/queues/flows/prepare-flow.ts';
import { handle } from '../../../src/queues/handle.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { completed, permanent } from '../../../src/queues/outcome.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../../services/redis.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';

const payload = z.object({ key: z.string(), text: z.string() });
const heavy = defineJob({ name: 'large.heavy', payload });
const latest = defineJob({ name: 'large.latest', payload, deduplicateBy: ['key'] });
const direct = defineJob({ name: 'large.direct', payload, durability: 'queue' });
const housekeeping = defineJob({ name: 'large.housekeeping', queue: 'maintenance', payload });
const huge = defineJob({ name: 'large.huge-result', payload: z.object({}) });
const contracts = [heavy, latest, direct, housekeeping, huge];

const textOf = (key: string, bytes = 100_000): string => `${key}-`.padEnd(bytes, key);

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const seen = new Map<string, string>();
  let isBroken = true;
  const note = async (context: { readonly payload: z.output<typeof payload> }) => {
    seen.set(context.payload.key, context.payload.text);
    return context.payload.key === 'broken' && isBroken ? permanent(new Error('broken')) : completed(null);
  };
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts,
    handlers: [
      ...[heavy, latest, direct, housekeeping].map((contract) => handle(contract, note)),
      handle(huge, async () => completed(textOf('r', 17_000_000))),
    ],
  });
  const finished = async (id: string): Promise<JobRecord> => {
    const job = await treadle.platform.jobs.wait(id, 15_000);
    if (!job) throw new Error('the job vanished');
    return job;
  };
  const keptIn = async (table: string): Promise<readonly unknown[]> =>
    (await database.query<{ payload: unknown }>(`SELECT payload FROM treadle.${table}`)).map((row) => row.payload);

  test('a large payload reaches the handler, and neither its row nor its queue carries it', async () => {
    const { enqueuer, queues, jobs, transports } = treadle.platform;
    await queues.pause('default');
    const given = { key: 'a', text: textOf('a') };
    const { id } = await enqueuer.enqueue(heavy, given);
    await enqueuer.enqueue(heavy, { key: 'small', text: 'short' });
    expect(await keptIn('jobs')).toEqual([null, { key: 'small', text: 'short' }]);
    expect(await keptIn('payloads')).toEqual([given]);
    expect(await jobs.find(id)).toMatchObject({ payload: given });
    expect((await jobs.list({ name: 'large.heavy' }, { limit: 5 })).items.map((job) => job.payload)).toEqual([
      { key: 'small', text: 'short' },
      null,
    ]);
    await queues.resume('default');
    expect(await finished(id)).toMatchObject({ state: 'completed' });
    expect(seen.get('a')).toBe(given.text);
    expect(await keptIn('finished_jobs')).toContain(null);
    expect(await jobs.find(id)).toMatchObject({ payload: given });
    // A direct job too large for its queue takes the way of the others.
    const around = await enqueuer.enqueue(direct, { key: 'd', text: textOf('d') });
    await finished(around.id);
    expect(seen.get('d')).toBe(textOf('d'));
    expect(await (await transports.of('default')).backlog()).toBe(0);
  });

  test('many large payloads in one batch, from SQL, and for pg-boss', async () => {
    const { enqueuer, postgres } = treadle.platform;
    const keys = Array.from({ length: 12 }, (_, n) => `many-${n}`);
    const accepted = await enqueuer.enqueueBatch([
      ...keys.map((key) => ({ name: 'large.heavy', payload: { key, text: textOf(key) } })),
      { name: 'large.heavy', payload: { key: 'between', text: 'short' } },
      { name: 'large.housekeeping', payload: { key: 'housekeeping', text: textOf('h') } },
    ]);
    const { rows } = await postgres.query<{ id: string }>(`SELECT treadle.enqueue('large.heavy', $1) AS id`, [
      JSON.stringify({ key: 'sql', text: textOf('s') }),
    ]);
    for (const { id } of [...accepted, ...rows]) expect(await finished(id)).toMatchObject({ state: 'completed' });
    for (const key of keys) expect(seen.get(key)).toBe(textOf(key));
    expect([seen.get('between'), seen.get('housekeeping'), seen.get('sql')]).toEqual([
      'short',
      textOf('h'),
      textOf('s'),
    ]);
  });

  test('of changes large and small, in one batch or alone, the last runs', async () => {
    const { enqueuer, queues } = treadle.platform;
    await queues.pause('default');
    const change = (key: string, text: string) => ({ name: 'large.latest', payload: { key, text } });
    const [first] = await enqueuer.enqueueBatch([
      change('x', textOf('x')),
      change('y', 'short y'),
      change('x', 'short x'),
      change('y', textOf('y')),
    ]);
    const again = await enqueuer.enqueueByName(change('z', textOf('z')));
    expect((await enqueuer.enqueueByName(change('z', textOf('w')))).id).toBe(again.id);
    const open = await database.query<{ id: string }>('SELECT id FROM treadle.jobs');
    expect(open).toHaveLength(3);
    await queues.resume('default');
    for (const { id } of open) expect(await finished(id)).toMatchObject({ state: 'completed' });
    expect([seen.get('x'), seen.get('y'), seen.get('z')]).toEqual(['short x', textOf('y'), textOf('w')]);
    expect(first?.name).toBe('large.latest');
  });

  test('jobs of a flow may have large payloads', async () => {
    const parts = ['f1', 'f2'].map((key) => flow(heavy, { key, text: textOf(key) }));
    const root = flow(heavy, { key: 'f0', text: textOf('f0') }, { children: parts });
    const { id } = await treadle.platform.enqueuer.enqueueFlow(root);
    expect(await finished(id)).toMatchObject({ state: 'completed' });
    expect(['f0', 'f1', 'f2'].map((key) => seen.get(key))).toEqual([textOf('f0'), textOf('f1'), textOf('f2')]);
  });

  test('a dead letter keeps its large payload, and runs with it when redriven', async () => {
    const { enqueuer, deadLetters, jobs } = treadle.platform;
    const given = { key: 'broken', text: textOf('b') };
    const { id } = await enqueuer.enqueue(heavy, given);
    expect(await finished(id)).toMatchObject({ state: 'dead' });
    expect(await jobs.find(id)).toMatchObject({ payload: given });
    isBroken = false;
    seen.delete('broken');
    expect(await deadLetters.redrive({ ids: [id] }, 1)).toBe(1);
    expect(await finished(id)).toMatchObject({ state: 'completed' });
    expect(seen.get('broken')).toBe(given.text);
  });

  test('a result too large to be kept ends its job with both sizes', async () => {
    const { id } = await treadle.platform.enqueuer.enqueue(huge, {});
    expect(await finished(id)).toMatchObject({
      state: 'dead',
      error: { code: 'VALIDATION_ERROR', message: expect.stringMatching(/has 1700000\d bytes .* than the 16777216/) },
    });
  });

  test('large payloads go with their jobs, by hand and past their retention', async () => {
    const { enqueuer, jobs, postgres, config } = treadle.platform;
    const removed = await enqueuer.enqueue(heavy, { key: 'removed', text: textOf('m') }, { delayMs: 60_000 });
    const kept = await enqueuer.enqueue(heavy, { key: 'kept', text: textOf('k') }, { delayMs: 60_000 });
    await jobs.remove(removed.id);
    expect(await database.query('SELECT 1 FROM treadle.payloads WHERE job_id = $1', [removed.id])).toEqual([]);
    await database.query('DELETE FROM treadle.finished_jobs');
    const { deleted } = await pruneExpired(postgres, config.retention, new AbortController().signal);
    expect(deleted.payloads).toBeGreaterThan(10);
    expect(await database.query('SELECT job_id FROM treadle.payloads')).toEqual([{ job_id: kept.id }]);
  });
};

describe('on Postgres', () => {
  suite();
});
describeWithRedis('on Redis', () => {
  suite(useRedis());
});
