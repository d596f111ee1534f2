import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../../src/platform.ts';
import { defineJob, type JobContract } from '../../../src/queues/define-job.ts';
import { handle } from '../../../src/queues/handle.ts';
import { completed } from '../../../src/queues/outcome.ts';
import { startScheduler } from '../../../src/workers/scheduler.ts';
import { startWorker } from '../../../src/workers/worker.ts';
import { useDatabase } from '../../services/database.ts';

const contractOf = <P extends z.ZodType>(payload: P) => defineJob({ name: 'changed.report', payload });
const first = contractOf(z.object({ to: z.string(), copies: z.number() }));
const second = contractOf(
  z.strictObject({ to: z.email(), copies: z.number().max(3), colour: z.enum(['red', 'blue']) }),
);
const mended = contractOf(z.object({ to: z.string(), copies: z.number(), colour: z.string().default('red') }));

const database = useDatabase();
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

/** An installation whose code has this version of the contract. */
const deploy = async (contract: JobContract, seen: unknown[] = []): Promise<Platform> => {
  for (const one of open.splice(0).toReversed()) await one.close();
  const { url } = database;
  const log = createLog({ level: 'silent' });
  const parts = { url, directUrl: url, embedded: false, close: () => Promise.resolve() };
  const platform = await createPlatform(loadConfig({ DATABASE_URL: url }), log, parts, { contracts: [contract] });
  const handler = handle(contract, async ({ payload }) => {
    seen.push(payload);
    return completed(null);
  });
  open.push(platform, await startScheduler(platform, { schedules: [] }));
  open.push(await startWorker(platform, { handlers: [handler] }));
  return platform;
};

test('what waits and no longer fits its contract is a dead letter with every fault, and runs when the contract is mended', async () => {
  const before = await deploy(first);
  await before.queues.pause('default');
  const { id } = await before.enqueuer.enqueue(first, { to: 'mia', copies: 5 });

  const changed = await deploy(second);
  await changed.queues.resume('default');
  const dead = await changed.jobs.wait(id, 15_000);
  expect(dead).toMatchObject({
    state: 'dead',
    attemptsMade: 1,
    error: {
      code: 'VALIDATION_ERROR',
      message:
        'the payload of changed.report: to: must be an email address; copies: must be at most 3; colour: is missing',
    },
    payload: { to: 'mia', copies: 5 },
  });

  const seen: unknown[] = [];
  const after = await deploy(mended, seen);
  expect(await after.deadLetters.redrive({ name: 'changed.report', errorCode: 'VALIDATION_ERROR' }, 10)).toBe(1);
  expect(await after.jobs.wait(id, 15_000)).toMatchObject({ state: 'completed' });
  expect(seen).toEqual([{ to: 'mia', copies: 5, colour: 'red' }]);
});
