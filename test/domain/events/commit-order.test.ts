import * as fc from 'fast-check';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Pool } from 'pg';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';
import { useDatabase } from '../../services/database.ts';
import { newName, noting, useEvents, type TestRunner } from './use-events.ts';

const database = useDatabase();
const on = useEvents(database);
let pool: Pool;
beforeAll(() => {
  pool = new Pool({ connectionString: database.url, max: 8 });
});
afterAll(() => pool.end());

/** Pauses lie before and after each write, so that transactions that begin early end late. */
interface Writer {
  readonly events: number;
  readonly pauseMs: number;
  readonly end: 'COMMIT' | 'ROLLBACK';
  /** Half of what it writes is taken back by a savepoint. */
  readonly savepoint: boolean;
}

const writers = fc.array(
  fc.record<Writer>({
    events: fc.integer({ min: 0, max: 4 }),
    pauseMs: fc.integer({ min: 0, max: 12 }),
    end: fc.constantFrom('COMMIT', 'COMMIT', 'ROLLBACK'),
    savepoint: fc.boolean(),
  }),
  { minLength: 20, maxLength: 120 },
);

const write = async (name: string, { events, pauseMs, end, savepoint }: Writer): Promise<void> => {
  const client = await pool.connect();
  const insert = () =>
    client.query('INSERT INTO treadle.events (id, type, aggregate_id) VALUES ($1, $2, $3)', [
      uuidV7(),
      `${name}.x`,
      'a',
    ]);
  try {
    await client.query('BEGIN; SELECT pg_current_xact_id()');
    for (let event = 0; event < events; event += 1) {
      await delay(pauseMs);
      await insert();
      if (savepoint) {
        await client.query('SAVEPOINT half');
        await insert();
        await client.query('ROLLBACK TO half');
      }
    }
    await delay(pauseMs);
    await client.query(end);
  } finally {
    client.release();
  }
};

const run = async (name: string, plan: readonly Writer[], kills: readonly number[]): Promise<void> => {
  const { consumer, seen } = noting(name, { from: 'start', batchSize: 7, handle: () => delay(1) });
  const heard: string[] = [];
  const end = await on.platform.events.subscribe(`${name}.*`, ({ id }) => heard.push(id));
  const runners: TestRunner[] = [on.run(consumer), on.run(consumer)];
  const killing = (async () => {
    for (const pauseMs of kills) {
      await delay(pauseMs);
      // Whichever has it, the other one takes over, or a new one.
      await runners.shift()?.kill();
      runners.push(on.run(consumer));
    }
  })();
  const waiting = [...plan];
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await write(name, next);
  };
  await Promise.all([...Array.from({ length: 8 }, lane), killing]);
  const rows = await database.query<{ id: string }>('SELECT id FROM treadle.events WHERE type = $1 ORDER BY xid, seq', [
    `${name}.x`,
  ]);
  const committed = rows.map(({ id }) => id);
  await expect.poll(() => new Set(seen).size, { timeout: 30_000, interval: 10 }).toBe(committed.length);
  await expect.poll(() => heard.length, { timeout: 30_000, interval: 10 }).toBe(committed.length);
  for (const runner of runners) await runner.close();
  end();
  // Repeats left out, both are the committed events in the order of their transactions, and nothing else.
  expect([...new Set(seen)]).toEqual(committed);
  expect(heard).toEqual(committed);
  // A repeat begins behind what its process found to be done: never before an event that was seen twice as far back as a batch.
  for (const [index, id] of seen.entries()) {
    const furthest = Math.max(-1, ...seen.slice(0, index).map((before) => committed.indexOf(before)));
    expect(committed.indexOf(id)).toBeLessThanOrEqual(furthest + 1);
  }
};

test('every committed event is delivered at least once, none that was rolled back, in the order of transactions, whoever dies', async () => {
  expect.hasAssertions();
  await fc.assert(
    fc.asyncProperty(writers, fc.array(fc.integer({ min: 10, max: 150 }), { maxLength: 3 }), (plan, kills) =>
      run(newName(), plan, kills),
    ),
    { numRuns: Number(process.env['TEST_RUNS'] ?? 4), endOnFailure: true },
  );
});

test('an event waits for an older transaction that still runs', async () => {
  const name = newName();
  const { eventLog, events } = on.platform;
  const { position: start } = await eventLog.now();
  const heard: string[] = [];
  const end = await events.subscribe(`${name}.*`, ({ aggregateId }) => heard.push(aggregateId));
  const older = await pool.connect();
  await older.query('BEGIN');
  await older.query('INSERT INTO treadle.events (type, aggregate_id) VALUES ($1, $2)', [`${name}.x`, 'first']);
  await events.publish({ type: `${name}.x`, aggregateId: 'second' });
  const seen = await eventLog.read(start, { limit: 10, types: [`${name}.*`] });
  expect([seen.events, seen.more, heard]).toEqual([[], false, []]);
  await older.query('COMMIT');
  older.release();
  await expect.poll(() => heard, { timeout: 30_000, interval: 5 }).toEqual(['first', 'second']);
  end();
});
