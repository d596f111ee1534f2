import { beforeEach, expect, test } from 'vitest';
import { ConsumerPositions } from '../../../src/domain/events/consumers/consumer-positions.ts';
import { EventConsumers } from '../../../src/domain/events/consumers/event-consumers.ts';
import { pruneEventDeadLetters, pruneEvents } from '../../../src/domain/events/prune-events.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const dayMs = 86_400_000;
const prune = () => pruneEvents(database.postgres, 7 * dayMs, new AbortController().signal);
const insert = (type: string, days: number, count = 1) =>
  database.query(
    `INSERT INTO treadle.events (type, aggregate_id, recorded_at) SELECT $1, n::text, now() - make_interval(days => $2)
     FROM generate_series(1, $3) AS n`,
    [type, days, count],
  );
const left = async (): Promise<Record<string, number>> => {
  const rows = await database.query<{ type: string; events: number }>(
    'SELECT type, count(*)::integer AS events FROM treadle.events GROUP BY type',
  );
  return Object.fromEntries(rows.map(({ type, events }) => [type, events]));
};
beforeEach(() => database.query('TRUNCATE treadle.events, treadle.event_consumers, treadle.event_dead_letters'));

test('events go when they were recorded long ago, however old they say they are', async () => {
  await insert('old.event', 8, 7_000);
  await database.query(
    `INSERT INTO treadle.events (type, aggregate_id, occurred_on) VALUES ('young.event', 'a', '1999-01-01')`,
  );
  await insert('young.event', 6, 3);
  expect(await prune()).toEqual({ deleted: 7_000, held: 0, missed: {} });
  expect(await left()).toEqual({ 'young.event': 4 });
});

test('events that a consumer has yet to handle are kept for as long again, and what it misses then is said', async () => {
  const positions = new ConsumerPositions(database.postgres);
  await positions.register('behind', ['order.*'], 'start');
  await positions.register('here', ['*'], 'now');
  await insert('order.paid', 15, 2);
  await insert('order.paid', 8, 3);
  await insert('other.event', 8, 4);
  await positions.register('later', ['order.*'], 'now');
  const held = await prune();
  expect(held).toEqual({ deleted: 2, held: 7, missed: { behind: 2, here: 2 } });
  const here = await positions.take('here', 'me', 10_000);
  const [last] = await database.query<{ xid: string; seq: string }>(
    'SELECT xid::text, seq::text FROM treadle.events ORDER BY xid DESC, seq DESC LIMIT 1',
  );
  if (!here || !last) throw new Error('there is no position');
  await positions.advance(here.holder, { xid: BigInt(last.xid), seq: BigInt(last.seq) });
  expect(await prune()).toEqual({ deleted: 4, held: 3, missed: {} });
  expect(await left()).toEqual({ 'order.paid': 3 });
  const consumers = new EventConsumers(database.postgres);
  expect(await consumers.get('behind')).toMatchObject({ missed: 2, missedAt: expect.any(Date), lag: 3 });
  expect((await consumers.metrics()).find(({ name }) => name.endsWith('missed_total'))?.samples).toContainEqual({
    labels: { consumer: 'behind' },
    value: 2,
  });
  await consumers.forget('behind');
  expect(await prune()).toEqual({ deleted: 3, held: 0, missed: {} });
});

test('dead letters of consumers go in their own time', async () => {
  await new ConsumerPositions(database.postgres).register('c', ['*'], 'now');
  await database.query(
    `INSERT INTO treadle.event_dead_letters (consumer, event_id, event, attempts, error, failed_at)
     SELECT 'c', gen_random_uuid(), '{}', 1, '{}', now() - make_interval(days => n) FROM generate_series(28, 32) AS n`,
  );
  expect(await pruneEventDeadLetters(database.postgres, 30 * dayMs, new AbortController().signal)).toBe(3);
});
