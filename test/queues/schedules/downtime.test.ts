import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ScheduleInput } from '../../../src/queues/ports.ts';
import { fireSchedule, type Fired } from '../../../src/queues/schedules/fire-schedule.ts';
import { useDatabase } from '../../services/database.ts';
import {
  accept,
  eventually,
  firesOf,
  publish,
  startScheduler,
  storeOf,
  type RunningScheduler,
} from './schedule-fixtures.ts';

const database = useDatabase();
beforeAll(() => publish(database));

const running: RunningScheduler[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((scheduler) => scheduler.close()));
  await database.query('DELETE FROM treadle.schedules');
  await database.query('DELETE FROM treadle.jobs');
});

const made = '2026-06-01T12:00:00Z';
const nextDay = '2026-06-02T12:00:30Z';
const job = { jobName: 'reports.send', payload: { to: 'all' } } as const;
const everyMinute = { ...job, cron: '* * * * *' } as const;

const storeAt = (time: string) => storeOf(database, () => new Date(time));
const fireAt = (time: string): Promise<Fired> =>
  fireSchedule('x', { postgres: database.postgres, accept, now: () => new Date(time), onTimeMs: 60_000 });

/** What has fired when, after a day without a scheduler, three start at once. */
const afterADay = async (input: ScheduleInput, until = nextDay): Promise<readonly string[]> => {
  await storeAt(made).put('x', input);
  running.push(
    ...(await Promise.all(
      Array.from({ length: 3 }, () => startScheduler(database, { now: () => new Date(until), pollMs: 20 })),
    )),
  );
  await eventually(async () => {
    const [row] = await database.query<{ settled: boolean }>(
      'SELECT settled_until > $1 AS settled FROM treadle.schedules',
      [made],
    );
    expect(row?.settled).toBe(true);
  });
  return firesOf(database, 'x');
};
const skippedOf = async (): Promise<readonly string[]> => {
  const { items } = await storeAt(nextDay).fires('x', { limit: 100 });
  return items.flatMap(({ skipped, fireAt: time }) => (skipped ? [time.toISOString()] : []));
};

describe('after a day without a scheduler', () => {
  test('skip runs what is on time, and tells of the latest that it dropped', async () => {
    expect(await afterADay({ ...everyMinute, misfire: 'skip' })).toEqual(['2026-06-02T12:00:00.000Z']);
    const skipped = await skippedOf();
    expect(skipped).toHaveLength(99);
    expect(skipped[0]).toBe('2026-06-02T11:59:00.000Z');
  });

  test('once runs the latest, however many there were', async () => {
    const seconds = { ...job, cron: '* 0-11 2 6 *' } as const;
    expect(await afterADay({ ...seconds, misfire: 'once' }, '2026-06-02T14:00:00Z')).toEqual([
      '2026-06-02T11:59:00.000Z',
    ]);
    expect((await skippedOf())[0]).toBe('2026-06-02T11:58:00.000Z');
  });

  test('all runs each', async () => {
    const fires = await afterADay({ ...everyMinute, misfire: 'all' });
    expect(fires).toHaveLength(24 * 60);
    expect([fires[0], fires.at(-1)]).toEqual(['2026-06-01T12:01:00.000Z', '2026-06-02T12:00:00.000Z']);
    expect(await skippedOf()).toEqual([]);
  });

  test('an interval comes at the times it always had', async () => {
    const fires = await afterADay({ ...job, everyMs: 7_000_000, misfire: 'all' });
    expect(fires).toHaveLength(12);
    expect(fires.at(-1)).toBe(new Date(Date.parse(made) + 12 * 7_000_000).toISOString());
  });

  test.for([
    ['skip', []],
    ['once', ['2026-06-01T20:00:00.000Z']],
    ['all', ['2026-06-01T20:00:00.000Z']],
  ] as const)('a one-off under %s', async ([misfire, expected]) => {
    const at = new Date('2026-06-01T20:00:00Z');
    expect(await afterADay({ ...job, at, misfire })).toEqual(expected);
    expect(await storeAt(nextDay).find('x')).toMatchObject({ at, nextFireAt: null });
    expect(await storeAt(nextDay).fires('x', { limit: 10 })).toMatchObject({
      items: [{ fireAt: at, skipped: misfire === 'skip' }],
    });
  });
});

test('all makes up for ten thousand at most, the first ones, and tells of the latest that it gave up', async () => {
  await storeAt(made).put('x', { ...job, everyMs: 1_000, misfire: 'all' });
  expect(await fireAt('2026-06-01T15:00:00Z')).toMatchObject({ truncated: true });
  const fires = await firesOf(database, 'x');
  // The last minute is on time still.
  expect(fires).toHaveLength(10_000 + 60);
  expect(fires[9_999]).toBe('2026-06-01T14:46:40.000Z');
  expect((await fireAt('2026-06-01T15:00:00.900Z')).fires).toEqual([]);
  expect(await skippedOf()).toHaveLength(40);
});

test('a clock that was a year ahead and is put right leaves the schedule at work', async () => {
  await storeAt(made).put('x', { ...everyMinute, misfire: 'once' });
  await fireAt('2027-06-01T12:00:00Z');
  await fireAt('2026-06-01T12:01:10Z');
  await fireAt('2026-06-01T12:02:10Z');
  await fireAt('2026-06-01T12:03:00Z');
  expect(await firesOf(database, 'x')).toEqual([
    '2026-06-01T12:02:00.000Z',
    '2026-06-01T12:03:00.000Z',
    '2027-06-01T12:00:00.000Z',
  ]);
});

test('times that were told of as dropped while the clock was ahead get their job when they come', async () => {
  await storeAt(made).put('x', { ...everyMinute, misfire: 'once' });
  await fireAt('2026-06-01T14:00:00Z');
  expect(await skippedOf()).toContain('2026-06-01T13:30:00.000Z');
  await fireAt('2026-06-01T13:29:30Z');
  await fireAt('2026-06-01T13:30:00Z');
  expect(await firesOf(database, 'x')).toEqual(['2026-06-01T13:30:00.000Z', '2026-06-01T14:00:00.000Z']);
});

test('a schedule edited while it fires runs as it was, and then as it is', async () => {
  await storeAt(made).put('x', everyMinute);
  const begun = Promise.withResolvers<void>();
  const mayEnd = Promise.withResolvers<void>();
  const firing = fireSchedule('x', {
    postgres: database.postgres,
    accept: async (...args) => {
      begun.resolve();
      await mayEnd.promise;
      return accept(...args);
    },
    now: () => new Date('2026-06-01T12:01:00Z'),
    onTimeMs: 60_000,
  });
  await begun.promise;
  const edited = storeAt('2026-06-01T12:01:01Z').put('x', { ...everyMinute, payload: { to: 'others' } });
  mayEnd.resolve();
  await Promise.all([firing, edited]);
  await fireAt('2026-06-01T12:02:00Z');
  expect(await firesOf(database, 'x')).toEqual(['2026-06-01T12:01:00.000Z', '2026-06-01T12:02:00.000Z']);
  expect(await database.query(`SELECT payload ->> 'to' AS to FROM treadle.jobs ORDER BY id`)).toEqual([
    { to: 'all' },
    { to: 'others' },
  ]);
});
