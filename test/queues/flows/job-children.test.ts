import { beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';
import { LedgerJobChildren } from '../../../src/queues/flows/job-children.ts';
import { OutcomeError } from '../../../src/queues/outcome.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';

const parent = defineJob({ name: 'things.parent', payload: z.object({}) });
const child = defineJob({ name: 'things.child', payload: z.object({ n: z.number() }) });

const database = useDatabase();
const treadle = useTreadle({
  database,
  contracts: [parent, child],
  handlers: [],
  env: { TREADLE_QUEUES: 'maintenance' },
});

let jobId = '';
beforeEach(async () => {
  ({ id: jobId } = await treadle.platform.enqueuer.enqueue(parent, {}, { delayMs: 60_000 }));
  // As if two workers ran it, one of which was frozen until its lock had run out.
  await database.query(
    `UPDATE treadle.jobs SET state = 'active', relayed_at = now(), relay_epoch = 'postgres' WHERE id = $1`,
    [jobId],
  );
});

const attempt = (holdsLock: () => boolean | Promise<boolean>): LedgerJobChildren =>
  new LedgerJobChildren({
    postgres: database.postgres,
    keys: treadle.platform.registry.keys,
    jobId,
    returns: 0,
    tenant: '',
    tracked: true,
    awaited: 0,
    holdsLock,
  });

test("children that others add do not count as the handler's own", async () => {
  await treadle.platform.enqueuer.enqueue(child, { n: 0 }, { parent: jobId });
  await attempt(() => true).spawn(child, [{ n: 1 }, { n: 2 }]);
  await attempt(() => true).spawn(child, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  expect(await childrenOf(jobId)).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }]);
});

const childrenOf = async (id: string): Promise<readonly unknown[]> => {
  const { items } = await treadle.platform.jobs.list({ parent: id }, { limit: 100 });
  return items.map(({ payload }) => payload).toSorted((a, b) => Number(a?.['n']) - Number(b?.['n']));
};

test('an attempt that wakes up after its lock has run out adds no child beside those of its successor', async () => {
  let holds = true;
  const frozen = attempt(() => holds);
  const successor = attempt(() => true);
  await frozen.spawn(child, [{ n: 1 }, { n: 2 }]);
  holds = false;
  await successor.spawn(child, [{ n: 1 }, { n: 2 }]);
  await successor.spawn(child, [{ n: 3 }]);
  await expect(frozen.spawn(child, [{ n: 3 }])).rejects.toThrow(OutcomeError);
  expect(await childrenOf(jobId)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
});

test('children that an attempt adds while its successor begins are counted by it', async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<boolean>();
  const slow = attempt(() => {
    asked.resolve();
    return answer.promise;
  });
  const adding = slow.spawn(child, [{ n: 1 }, { n: 2 }]);
  await asked.promise;
  const following = attempt(() => true).spawn(child, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  await expect.poll(() => database.query('SELECT FROM pg_locks WHERE NOT granted')).not.toEqual([]);
  answer.resolve(true);
  await Promise.all([adding, following]);
  expect(await childrenOf(jobId)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
});
