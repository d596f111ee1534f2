import { beforeAll, expect, test } from 'vitest';
import { LedgerDeadLetters } from '../../../src/queues/jobs/ledger-dead-letters.ts';
import type { DeadLetterFilter } from '../../../src/queues/ports.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const jobs = 20_000;

beforeAll(async () => {
  await database.query(
    `INSERT INTO treadle.finished_jobs (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed,
       attempts_made, timeout_ms, due_at, created_at, failures, error)
     SELECT treadle.uuid_v7(), 'orders.ship', 'orders', 'dead', 5, 't' || n % 10,
       jsonb_build_object('n', n, 'express', n % 2 = 0, 'note', CASE n % 3 WHEN 0 THEN NULL ELSE 'x' END,
         'order', jsonb_build_object('customerId', 'c' || n % 5000, 'lines', jsonb_build_array(n))),
       ARRAY['batch-' || n % 100], 1, 1, 1000, now(), now(), '[]', '{"code": "TIMEOUT"}'
     FROM generate_series(0, $1::int - 1) AS n`,
    [jobs],
  );
  await database.query('ANALYZE treadle.finished_jobs');
});

test.for<[DeadLetterFilter, number]>([
  [{ payload: { 'order.customerId': 'c7' } }, 4],
  [{ payload: { 'order.customerId': 'c7', n: 7 } }, 1],
  [{ payload: { n: 7 } }, 1],
  [{ payload: { n: '7' } }, 0],
  [{ payload: { note: null } }, 6_667],
  [{ payload: { missing: null } }, 0],
  [{ payload: { express: true, 'order.customerId': 'c8' } }, 4],
  [{ payload: { express: false, 'order.customerId': 'c8' } }, 0],
  [{ tag: 'batch-3', tenant: 't3' }, 200],
  [{ tag: 'batch-3', tenant: 't4' }, 0],
  [{ tenant: 't1', payload: { 'order.customerId': 'c11' } }, 4],
])('the filter %j finds %i dead letters', async ([filter, expected]) => {
  const deadLetters = new LedgerDeadLetters(
    database.postgres,
    (job) => job,
    () => [],
  );
  expect(await deadLetters.count(filter)).toBe(expected);
  expect((await deadLetters.list(filter, { limit: 100 })).items).toHaveLength(Math.min(100, expected));
});

test('payloads are looked for by their index, in lists, counts and redrives', async () => {
  const plans: string[] = [];
  const explaining: ConstructorParameters<typeof LedgerDeadLetters>[0] = {
    cursorKey: () => database.postgres.cursorKey(),
    transaction: (work) => database.postgres.transaction(work),
    query: async (text, values) => {
      plans.push(JSON.stringify(await database.query(`EXPLAIN (FORMAT JSON) ${text}`, values)));
      return database.postgres.query(text, values);
    },
  };
  const deadLetters = new LedgerDeadLetters(
    explaining,
    (job) => job,
    () => [],
  );
  const filter = { payload: { 'order.customerId': 'c9' } };
  await deadLetters.list(filter, { limit: 20 });
  await deadLetters.count(filter);
  expect(await deadLetters.redrive(filter, 1)).toBe(1);
  expect(plans).toHaveLength(3);
  for (const plan of plans) expect(plan).toMatch(/finished_jobs_dead_\d+_payload_idx/);
});
