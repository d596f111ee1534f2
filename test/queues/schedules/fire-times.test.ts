import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fireTimesBetween, latestFireTimes, nextFireTimes } from '../../../src/queues/schedules/fire-times.ts';
import type { Timing } from '../../../src/queues/schedules/timing.ts';
import { clockChanges, readingsAround, type Reading } from './clock-readings.ts';

const texts = (times: readonly Date[]): string[] => times.map((time) => time.toISOString().replace(/:00\.000Z$/, 'Z'));
const times = (cron: string, timeZone: string, from: string, until: string): string[] =>
  texts(fireTimesBetween({ cron, timeZone }, new Date(from), new Date(until), 1_000));

// New York: clocks go from 02:00 to 03:00 on 8 March 2026 (07:00Z), and from 02:00 to 01:00 on 1 November (06:00Z).
// Lord Howe: from 02:00 to 02:30 on 4 October (15:30Z the day before), from 02:00 to 01:30 on 5 April (15:00Z the day before).
describe('when clocks are put forward', () => {
  test.each([
    ['30 2 * * *', 'America/New_York', '2026-03-07', '2026-03-10', ['03-07T07:30Z', '03-08T07:30Z', '03-09T06:30Z']],
    ['0,30 2,3 8 3 *', 'America/New_York', '2026-03-07', '2026-03-10', ['03-08T07:00Z', '03-08T07:30Z']],
    ['0 0 * * *', 'Africa/Cairo', '2026-04-22', '2026-04-25', ['04-22T22:00Z', '04-23T22:00Z', '04-24T21:00Z']],
    ['10 2 * * *', 'Australia/Lord_Howe', '2026-10-02', '2026-10-05', ['10-02T15:40Z', '10-03T15:40Z', '10-04T15:10Z']],
  ])('%s in %s fires on each day, in a gap as far behind it', (cron, zone, from, until, expected) => {
    expect(times(cron, zone, `${from}T00:00:00Z`, `${until}T00:00:00Z`)).toEqual(
      expected.map((time) => `2026-${time}`),
    );
  });

  test.each([
    ['0 * * * *', 'America/New_York', '2026-03-08T05:30:00Z', ['03-08T06:00Z', '03-08T07:00Z', '03-08T08:00Z']],
    ['15 * * * *', 'Australia/Lord_Howe', '2026-10-03T14:00:00Z', ['10-03T14:45Z', '10-03T16:15Z', '10-03T17:15Z']],
  ])('%s in %s fires when the clock shows it', (cron, timeZone, from, expected) => {
    expect(texts(nextFireTimes({ cron, timeZone }, new Date(from), 3))).toEqual(expected.map((time) => `2026-${time}`));
  });
});

describe('when clocks are put back', () => {
  test.each([
    ['30 1 * * *', 'America/New_York', '2026-10-31', '2026-11-03', ['10-31T05:30Z', '11-01T05:30Z', '11-02T06:30Z']],
    ['*/30 1 1 11 *', 'America/New_York', '2026-10-31', '2026-11-03', ['11-01T05:00Z', '11-01T05:30Z']],
    ['45 1 * * *', 'Australia/Lord_Howe', '2026-04-03', '2026-04-06', ['04-03T14:45Z', '04-04T14:45Z', '04-05T15:15Z']],
  ])('%s in %s fires on each day, in the repeated hour the first time', (cron, zone, from, until, expected) => {
    expect(times(cron, zone, `${from}T00:00:00Z`, `${until}T00:00:00Z`)).toEqual(
      expected.map((time) => `2026-${time}`),
    );
  });

  test('what fires next is the next day, also from the middle of the repeated hour', () => {
    const timing = { cron: '30 1 * * *', timeZone: 'America/New_York' };
    expect(texts(nextFireTimes(timing, new Date('2026-11-01T06:10:00Z'), 1))).toEqual(['2026-11-02T06:30Z']);
  });

  test.each([
    ['0 * * * *', 'America/New_York', '2026-11-01T04:30:00Z', ['11-01T05:00Z', '11-01T06:00Z', '11-01T07:00Z']],
    ['45 0-23 * * *', 'Australia/Lord_Howe', '2026-04-04T14:00:00Z', ['04-04T14:45Z', '04-04T15:15Z', '04-04T16:15Z']],
  ])('%s in %s fires whenever the clock shows it', (cron, timeZone, from, expected) => {
    expect(texts(nextFireTimes({ cron, timeZone }, new Date(from), 3))).toEqual(expected.map((time) => `2026-${time}`));
  });
});

test('a day that a zone left out has its fires a day later', () => {
  const noon = { cron: '0 12 30 12 *', timeZone: 'Pacific/Apia' };
  expect(texts(nextFireTimes(noon, new Date('2011-01-01T00:00:00Z'), 2))).toEqual([
    '2011-12-30T22:00Z',
    '2012-12-29T22:00Z',
  ]);
});

const minuteMs = 60_000;
const someOf = (min: number, max: number) =>
  fc.oneof(
    fc.constant('*'),
    fc.integer({ min: 2, max: Math.max(2, Math.floor((max - min) / 2)) }).map((step) => `*/${step}`),
    fc.uniqueArray(fc.integer({ min, max }), { minLength: 1, maxLength: 4 }).map((list) => list.join(',')),
    fc
      .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
      .map(([one, other]) => `${Math.min(one, other)}-${Math.max(one, other)}`),
  );

/** The values from `min` to `max` that a field names. */
const valuesOf = (field: string, min: number, max: number): ReadonlySet<number> => {
  const isNamed = (value: number): boolean =>
    field.split(',').some((part) => {
      if (part === '*') return true;
      if (part.startsWith('*/')) return (value - min) % Number(part.slice(2)) === 0;
      const [from, to = from] = part.split('-').map(Number);
      return from !== undefined && to !== undefined && value >= from && value <= to;
    });
  return new Set(Array.from({ length: max - min + 1 }, (_, index) => min + index).filter(isNamed));
};

/** When an expression fires by the rules of docs/schedules.md, found by looking at every minute of the clock. */
const expectedTimes = (cron: string, readings: readonly Reading[]): number[] => {
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = cron.split(' ');
  const minutes = valuesOf(minute, 0, 59);
  const hours = valuesOf(hour, 0, 23);
  const days = valuesOf(day, 1, 31);
  const months = valuesOf(month, 1, 12);
  const weekdays = valuesOf(weekday, 0, 6);
  const isEither = day !== '*' && weekday !== '*';
  const isHourly = hours.size === 24;
  const isDue = (wallMs: number): boolean => {
    const wall = new Date(wallMs);
    if (!minutes.has(wall.getUTCMinutes()) || !hours.has(wall.getUTCHours())) return false;
    const [onDay, onWeekday] = [days.has(wall.getUTCDate()), weekdays.has(wall.getUTCDay())];
    return months.has(wall.getUTCMonth() + 1) && (isEither ? onDay || onWeekday : onDay && onWeekday);
  };
  const found = new Set<number>();
  const shown = new Set<number>();
  for (const [index, { atMs, wallMs }] of readings.entries()) {
    if (isDue(wallMs) && (isHourly || !shown.has(wallMs))) found.add(atMs);
    shown.add(wallMs);
    const before = readings[index - 1];
    if (!before || isHourly) continue;
    for (let skipped = before.wallMs + minuteMs; skipped < wallMs; skipped += minuteMs) {
      if (isDue(skipped)) found.add(before.atMs + (skipped - before.wallMs));
    }
  }
  return [...found].toSorted((a, b) => a - b);
};

const zones = [
  'UTC',
  'America/New_York',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'Africa/Cairo',
  'Africa/Casablanca',
  'America/Nuuk',
  'America/St_Johns',
  'Antarctica/Troll',
  'Asia/Kolkata',
  'Pacific/Chatham',
];
const changes = zones.flatMap((zone) => clockChanges(zone, 2026).map((changeMs) => ({ zone, changeMs })));
const windows = changes.map(({ zone, changeMs }) => ({ zone, readings: readingsAround(zone, changeMs) }));
const cron = fc
  .tuple(
    someOf(0, 59),
    // Mostly the hours in which clocks are changed.
    fc.oneof(
      someOf(0, 23),
      fc.uniqueArray(fc.constantFrom(22, 23, 0, 1, 2, 3), { minLength: 1, maxLength: 2 }).map(String),
    ),
    fc.oneof(
      fc.constant('*'),
      fc.uniqueArray(fc.integer({ min: 1, max: 31 }), { minLength: 1, maxLength: 6 }).map(String),
    ),
    fc.constant('*'),
    fc.oneof(
      fc.constant('*'),
      fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 3 }).map(String),
    ),
  )
  .map((fields) => fields.join(' '));

test('fires at the times that a look at every minute of the clock finds, in every kind of zone', () => {
  expect(changes.length).toBeGreaterThanOrEqual(18);
  fc.assert(
    fc.property(fc.constantFrom(...windows), cron, fc.nat(1_500), ({ zone, readings }, expression, start) => {
      const [from, until] = [readings[start]?.atMs ?? 0, readings.at(-1)?.atMs ?? 0];
      const timing = { cron: expression, timeZone: zone };
      const found = fireTimesBetween(timing, new Date(from), new Date(until), 10_000).map((time) => time.getTime());
      expect(found).toEqual(expectedTimes(expression, readings).filter((time) => time > from && time <= until));
    }),
    { numRuns: 200 },
  );
});

test('finds the latest times from their end', () => {
  fc.assert(
    fc.property(fc.constantFrom(...windows), cron, ({ zone, readings }, expression) => {
      const [from, until] = [new Date(readings[0]?.atMs ?? 0), new Date(readings.at(-1)?.atMs ?? 0)];
      const timing = { cron: expression, timeZone: zone };
      expect(latestFireTimes(timing, from, until, 3)).toEqual(fireTimesBetween(timing, from, until, 10_000).slice(-3));
    }),
    { numRuns: 20 },
  );
});

test('day and weekday both given fire on either, as cron does', () => {
  expect(times('0 0 16 * 1', 'UTC', '2026-06-10T00:00:00Z', '2026-06-20T00:00:00Z')).toEqual([
    '2026-06-15T00:00Z',
    '2026-06-16T00:00Z',
  ]);
});

describe('an interval', () => {
  const anchorAt = new Date('2026-06-01T12:00:07Z');
  const timing: Timing = { everyMs: 90_000, anchorAt };

  test('counts from its anchor, whenever it is looked at', () => {
    expect(nextFireTimes(timing, new Date('2026-06-01T11:00:00Z'), 2).map(String)).toEqual(
      [anchorAt, new Date('2026-06-01T12:01:37Z')].map(String),
    );
    expect(nextFireTimes(timing, new Date('2027-06-01T12:00:07Z'), 1)).toEqual([new Date('2027-06-01T12:01:37Z')]);
    expect(nextFireTimes(timing, new Date('2027-06-01T12:01:36.999Z'), 1)).toEqual([new Date('2027-06-01T12:01:37Z')]);
  });

  test('knows its latest times without counting all', () => {
    const [latest] = latestFireTimes({ everyMs: 1_000, anchorAt }, anchorAt, new Date('2036-06-01T00:00:00.500Z'), 1);
    expect(latest).toEqual(new Date('2036-06-01T00:00:00Z'));
  });
});

test('a one-off fires once', () => {
  const at = new Date('2026-06-01T12:00:00Z');
  expect(nextFireTimes({ at }, new Date('2026-06-01T11:59:59.999Z'), 5)).toEqual([at]);
  expect(nextFireTimes({ at }, at, 5)).toEqual([]);
});
