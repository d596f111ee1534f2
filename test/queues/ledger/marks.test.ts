import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';
import { defineQueue } from '../../../src/queues/define-queue.ts';
import { handle } from '../../../src/queues/handle.ts';
import { completed } from '../../../src/queues/outcome.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';

const held = defineJob({ name: 'marks.held', queue: 'marks', payload: z.object({ lock: z.boolean() }) });
const database = useDatabase();
const letGo = { row: Promise.withResolvers<void>(), jobs: Promise.withResolvers<void>() };
const treadle = useTreadle({
  database,
  contracts: [held],
  queues: [defineQueue({ name: 'marks', concurrency: 5 })],
  handlers: [
    handle(held, async ({ payload: { lock }, job, platform, signal }) => {
      if (lock) {
        // Before its beginning is noted.
        await platform.postgres.transaction(async (tx) => {
          await tx.query('SELECT FROM treadle.jobs WHERE id = $1 FOR UPDATE', [job.id]);
          await letGo.row.promise;
        });
      }
      await letGo.jobs.promise;
      return completed(signal.aborted);
    }),
  ],
});

test('a row that somebody holds keeps no other job from being noted as running, and is noted later', async () => {
  const { enqueuer, jobs } = treadle.platform;
  const [locked, free] = await enqueuer.enqueueMany(held, [{ lock: true }, { lock: false }]);
  const stateOf = async (job: typeof locked) => (await jobs.find(job?.id ?? ''))?.state;
  await expect.poll(() => stateOf(free), { timeout: 10_000 }).toBe('active');
  expect(await stateOf(locked)).toBe('waiting');
  letGo.row.resolve();
  await expect.poll(() => stateOf(locked), { timeout: 10_000 }).toBe('active');
  letGo.jobs.resolve();
  for (const job of [locked, free])
    expect(await jobs.wait(job?.id ?? '', 10_000)).toMatchObject({ state: 'completed', result: false });
});
