import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useTreadle } from './use-treadle.ts';

const payload = z.object({ n: z.number().int() });
const inLine = defineJob({ name: 'line.step', queue: 'line', payload });
const many = defineJob({ name: 'many.step', queue: 'many', payload });

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const line: number[] = [];
  const started: string[] = [];
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [inLine, many],
    queues: [defineQueue({ name: 'line', concurrency: 1 }), defineQueue({ name: 'many', concurrency: 4 })],
    handlers: [
      handle(inLine, async ({ payload: { n } }) => {
        line.push(n);
        return completed(null);
      }),
      handle(many, async ({ job }) => {
        started.push(job.tenant);
        return completed(null);
      }),
    ],
  });

  test('the most urgent jobs of a tenant run first, and equally urgent ones in the order they came', async () => {
    const { enqueuer, queues } = treadle.platform;
    await queues.pause('line');
    for (const priority of [9, 5, 1]) {
      for (let n = 0; n < 5; n += 1) await enqueuer.enqueue(inLine, { n: priority * 10 + n }, { priority });
    }
    await enqueuer.enqueueMany(
      inLine,
      Array.from({ length: 20 }, (_, n) => ({ n: 100 + n })),
      { priority: 9 },
    );
    await queues.resume('line');
    await expect.poll(() => line.length, { timeout: 15_000 }).toBe(35);
    // BullMQ on Postgres passes over a row that is locked in the moment it looks: neighbours may change places.
    const inOrder = line.toSorted((a, b) => a - b);
    const places = line.map((n, place) => Math.abs(inOrder.indexOf(n) - place));
    expect(Math.max(...places)).toBeLessThanOrEqual(4);
  });

  test('the single jobs of the tenants last and first by name need not wait for the thousands of another', async () => {
    const { enqueuer, jobs } = treadle.platform;
    for (let batch = 0; batch < 3; batch += 1) {
      await enqueuer.enqueueMany(
        many,
        Array.from({ length: 1_000 }, (_, n) => ({ n })),
        { tenant: 'm-busy' },
      );
    }
    const alone = await Promise.all(
      ['z-last-by-name', 'a-first-by-name'].map(async (tenant) => {
        const { id } = await enqueuer.enqueue(many, { n: 0 }, { tenant });
        return { id, tenant, before: started.length };
      }),
    );
    for (const { id, tenant, before } of alone) {
      expect(await jobs.wait(id, 30_000)).toMatchObject({ state: 'completed' });
      expect(before).toBeLessThan(2_000);
      expect(started.indexOf(tenant) - before).toBeLessThan(800);
    }
    await expect.poll(() => started.length, { timeout: 30_000 }).toBe(3_002);
  });
};

describe('order, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('order, BullMQ on Redis', () => {
  suite(useRedis());
});
