import { describe, expect, test } from 'vitest';
import { fireTimesBetween, nextFireTime } from '../../../src/queues/schedules/fire-times.ts';

const times = (cron: string, timeZone: string, from: string, until: string): string[] =>
  fireTimesBetween({ cron, timeZone }, new Date(from), new Date(until), 1_000).map((time) => time.toISOString());

/** Walks from fire to fire, as a scheduler does that settles each before it looks for the next. */
const walk = (cron: string, timeZone: string, from: string, until: string): string[] => {
  const found: string[] = [];
  for (let at = new Date(from); ;) {
    const [next] = fireTimesBetween({ cron, timeZone }, at, new Date(until), 1);
    if (!next) return found;
    found.push(next.toISOString());
    at = next;
  }
};

// New York: clocks go from 02:00 to 03:00 on 8 March 2026 (07:00Z), and from 02:00 to 01:00 on 1 November (06:00Z).
describe('when clocks are put forward', () => {
  test('a time in the gap fires once that day, as far behind the gap', () => {
    expect(times('30 2 * * *', 'America/New_York', '2026-03-07T00:00:00Z', '2026-03-10T00:00:00Z')).toEqual([
      '2026-03-07T07:30:00.000Z',
      '2026-03-08T07:30:00.000Z',
      '2026-03-09T06:30:00.000Z',
    ]);
  });

  test('an hourly schedule fires each hour that passes', () => {
    expect(times('0 * * * *', 'America/New_York', '2026-03-08T05:30:00Z', '2026-03-08T08:30:00Z')).toEqual([
      '2026-03-08T06:00:00.000Z',
      '2026-03-08T07:00:00.000Z',
      '2026-03-08T08:00:00.000Z',
    ]);
  });
});

describe('when clocks are put back', () => {
  test('a time in the repeated hour fires once that day', () => {
    expect(times('30 1 * * *', 'America/New_York', '2026-10-31T00:00:00Z', '2026-11-03T00:00:00Z')).toEqual([
      '2026-10-31T05:30:00.000Z',
      '2026-11-01T05:30:00.000Z',
      '2026-11-02T06:30:00.000Z',
    ]);
  });

  test('what fires next is the next day, also in the middle of the repeated hour', () => {
    const timing = { cron: '30 1 * * *', timeZone: 'America/New_York' };
    const next = nextFireTime(timing, new Date('2026-11-01T05:30:00Z'), new Date('2026-11-01T06:10:00Z'));
    expect(next?.toISOString()).toBe('2026-11-02T06:30:00.000Z');
  });

  test('an hourly schedule fires each hour that passes', () => {
    expect(times('0 * * * *', 'America/New_York', '2026-11-01T04:30:00Z', '2026-11-01T07:30:00Z')).toEqual([
      '2026-11-01T05:00:00.000Z',
      '2026-11-01T06:00:00.000Z',
      '2026-11-01T07:00:00.000Z',
    ]);
  });
});

test.for([
  ['*/20 * * * *', 'America/New_York'],
  ['30 1 * * *', 'America/New_York'],
  ['15,45 0-3 * * *', 'America/New_York'],
  ['30 2 * * *', 'Europe/Berlin'],
  ['0 0 * * *', 'Africa/Cairo'],
  ['0 3 * * 1-5', 'Australia/Sydney'],
  ['0 0 1,15 * 1', 'Asia/Kolkata'],
] as const)('%s in %s fires at the same times, counted at once or from fire to fire', ([cron, timeZone]) => {
  for (const [from, until] of [
    ['2026-03-05T00:00:00Z', '2026-03-12T00:00:00Z'],
    ['2026-03-27T00:00:00Z', '2026-04-02T00:00:00Z'],
    ['2026-10-02T00:00:00Z', '2026-10-06T00:00:00Z'],
    ['2026-10-29T00:00:00Z', '2026-11-04T00:00:00Z'],
  ] as const) {
    expect(walk(cron, timeZone, from, until)).toEqual(times(cron, timeZone, from, until));
  }
});

test('day and weekday both given fire on either, as cron does', () => {
  expect(times('0 0 15 * 1', 'UTC', '2026-06-10T00:00:00Z', '2026-06-20T00:00:00Z')).toEqual([
    '2026-06-15T00:00:00.000Z',
  ]);
  expect(times('0 0 16 * 1', 'UTC', '2026-06-10T00:00:00Z', '2026-06-20T00:00:00Z')).toEqual([
    '2026-06-15T00:00:00.000Z',
    '2026-06-16T00:00:00.000Z',
  ]);
});
