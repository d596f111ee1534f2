import { afterEach, describe, expect, test } from 'vitest';
import type { AppError } from '../../../src/lib/errors/app-error.ts';
import type { ScheduleInput } from '../../../src/queues/ports.ts';
import { useDatabase } from '../../services/database.ts';
import { storeOf } from './schedule-fixtures.ts';

const database = useDatabase();
afterEach(() => database.query('DELETE FROM treadle.schedules'));
const store = () => storeOf(database, () => new Date('2026-06-01T12:00:00Z'));
const good: ScheduleInput = { jobName: 'reports.send', payload: { to: 'all' }, cron: '0 3 * * *' };

const faultsOf = async (name: string, input: unknown): Promise<readonly { path: string; message: string }[]> => {
  const error = await store()
    .put(name, input as ScheduleInput)
    .then(
      () => undefined,
      (thrown: AppError<'VALIDATION_ERROR'>) => thrown,
    );
  expect(error).toMatchObject({ code: 'VALIDATION_ERROR' });
  expect(await store().find(name)).toBeUndefined();
  return error?.details.faults ?? [];
};

test('a schedule is stored whole, with its next fire in its own time zone', async () => {
  const stored = await store().put('berlin', {
    ...good,
    timeZone: 'Europe/Berlin',
    misfire: 'skip',
    options: { priority: 2, tags: ['nightly'] },
  });
  expect(stored).toEqual({
    name: 'berlin',
    jobName: 'reports.send',
    payload: { to: 'all' },
    options: { priority: 2, tags: ['nightly'] },
    cron: '0 3 * * *',
    timeZone: 'Europe/Berlin',
    everyMs: null,
    anchorAt: null,
    at: null,
    misfire: 'skip',
    paused: false,
    builtIn: false,
    lastFireAt: null,
    nextFireAt: new Date('2026-06-02T01:00:00Z'),
  });
  expect(await store().find('berlin')).toEqual(stored);
  expect(await store().list()).toEqual([stored]);
  await store().remove('berlin');
  expect(await store().list()).toEqual([]);
  await expect(store().remove('berlin')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('a put without paused leaves a paused schedule paused', async () => {
  await store().put('quiet', { ...good, paused: true });
  expect(await store().put('quiet', { ...good, cron: '0 4 * * *' })).toMatchObject({ paused: true, nextFireAt: null });
  await store().remove('quiet');
});

test.for([
  ['30 February', '0 0 30 2 *', /can never fire/],
  ['the 31st of short months', '0 0 31 2,4,6,9,11 *', /can never fire/],
  ['minute 61', '61 * * * *', /minute "61"/],
  ['hour 24', '0 24 * * *', /hour "24"/],
  ['four fields', '* * * *', /5 fields/],
  ['seven fields', '* * * * * * *', /5 fields/],
  ['nothing', '', /5 fields/],
  ['a nickname', '@daily', /5 fields/],
  ['a step of zero', '*/0 * * * *', /minute/],
  ['a range backwards', '50-10 * * * *', /minute "50-10"/],
  ['words', 'at three every single day', /minute "at"/],
  ['a very long one', `${'1,'.repeat(500)}1 * * * *`, /at most 200/],
] as const)('a cron of %s is refused', async ([, cron, message]) => {
  const faults = await faultsOf('bad', { ...good, cron });
  expect(faults[0]).toMatchObject({ path: 'cron', message: expect.stringMatching(message) });
});

test.for(['0 0 29 2 *', '*/15 9-17 * * mon-fri', '5 0 3 * * *', '0 0 L * *', '0 9 * * 1#1', '0 0 * jan,jul *'])(
  'the cron %s is taken',
  async (cron) => {
    const { nextFireAt } = await store().put('good', { ...good, cron });
    expect(nextFireAt?.getTime()).toBeGreaterThan(Date.parse('2026-06-01T12:00:00Z'));
    await store().remove('good');
  },
);

test('every fault is named at once', async () => {
  const faults = await faultsOf('no good!', {
    jobName: 'reports.send',
    payload: { to: '', copies: 1.5 },
    options: { priority: 12, runAt: '2026-01-01T00:00:00Z', colour: 'red' },
    cron: '61 25 * * *',
    timeZone: '+02:00',
    misfire: 'twice',
    when: 'now',
  });
  expect(faults.map(({ path }) => path)).toEqual(
    expect.arrayContaining([
      'name',
      'payload.to',
      'payload.copies',
      'options.priority',
      'options.runAt',
      'options.colour',
      'cron',
      'timeZone',
      'misfire',
      'options.colour',
      'when',
    ]),
  );
  expect(faults.filter(({ path }) => path === 'cron')).toHaveLength(2);
});

test.for([
  ['an unknown job', { jobName: 'reports.nonsense' }, 'jobName'],
  ['an unknown time zone', { timeZone: 'Mars/Olympus' }, 'timeZone'],
  ['a payload with NUL', { payload: { to: 'a\0b' } }, 'payload.to'],
  ['a payload that is no object', { payload: 'all' }, 'payload'],
  ['a job id to hang on', { options: { parent: '01890000-0000-7000-8000-000000000000' } }, 'options.parent'],
] as const)('%s is refused', async ([, change, path]) => {
  expect((await faultsOf('bad', { ...good, ...change })).map((fault) => fault.path)).toContain(path);
});

test('two writers of one schedule at once both end well', async () => {
  await Promise.all(Array.from({ length: 8 }, (_, hour) => store().put('busy', { ...good, cron: `0 ${hour} * * *` })));
  expect((await store().list()).map(({ name }) => name)).toEqual(['busy']);
  await store().remove('busy');
});

describe('the times of a schedule', () => {
  const { cron: _, ...job } = good;

  test('can be an interval, which keeps its anchor until it gets another length', async () => {
    const made = await store().put('often', { ...job, everyMs: 90_000 });
    expect(made).toMatchObject({
      cron: null,
      everyMs: 90_000,
      anchorAt: new Date('2026-06-01T12:00:00Z'),
      nextFireAt: new Date('2026-06-01T12:01:30Z'),
    });
    const later = storeOf(database, () => new Date('2026-06-01T12:01:00Z'));
    expect(await later.put('often', { ...job, everyMs: 90_000, misfire: 'all' })).toMatchObject({
      anchorAt: made.anchorAt,
      nextFireAt: made.nextFireAt,
    });
    expect(await later.put('often', { ...job, everyMs: 60_000 })).toMatchObject({
      anchorAt: new Date('2026-06-01T12:01:00Z'),
    });
    const anchorAt = '2026-06-03T02:00:00+02:00';
    expect(await later.put('often', { ...job, everyMs: 60_000, anchorAt })).toMatchObject({
      anchorAt: new Date(anchorAt),
      nextFireAt: new Date(anchorAt),
    });
  });

  test('can be one moment; the same again is no fault when it has passed, another past one is', async () => {
    const at = new Date('2026-06-01T18:00:00Z');
    expect(await store().put('once', { ...job, at })).toMatchObject({ cron: null, at, nextFireAt: at });
    const later = storeOf(database, () => new Date('2026-06-02T12:00:00Z'));
    expect(await later.put('once', { ...job, at })).toMatchObject({ at, nextFireAt: null });
    await expect(later.put('once', { ...job, at: '2026-06-01T19:00:00Z' })).rejects.toMatchObject({
      details: { faults: [{ path: 'at', message: expect.stringContaining('never fire') }] },
    });
    expect(await later.find('once')).toMatchObject({ at });
  });

  test.for([
    ['none', {}, 'cron', 'is missing: give one of cron, everyMs and at'],
    ['two', { cron: '* * * * *', everyMs: 5_000 }, 'everyMs', 'cannot be given beside cron'],
    ['less than a second', { everyMs: 999 }, 'everyMs', /from 1000/],
    ['a part of a millisecond', { everyMs: 1_000.5 }, 'everyMs', /whole number/],
    ['a text for a number', { everyMs: '5000' }, 'everyMs', /whole number/],
    [
      'an anchor without an interval',
      { cron: '* * * * *', anchorAt: '2026-06-03T02:00:00Z' },
      'anchorAt',
      'is for everyMs only',
    ],
    ['a zone without a cron', { everyMs: 5_000, timeZone: 'Europe/Berlin' }, 'timeZone', 'is for cron only'],
    ['a moment that has passed', { at: '2026-06-01T11:59:59Z' }, 'at', /never fire/],
    ['a moment without its offset', { at: '2027-06-01T11:59:59' }, 'at', /with its offset/],
    ['a moment that is none', { at: 'tomorrow' }, 'at', /with its offset/],
    [
      'a zone that is nearly one',
      { cron: '* * * * *', timeZone: 'Europe/Berln' },
      'timeZone',
      /is Europe\/Berlin meant\?/,
    ],
    ['a place', { cron: '* * * * *', timeZone: 'New York' }, 'timeZone', /is America\/New_York meant\?/],
    ['a policy that is none', { cron: '* * * * *', misfire: 'twice' }, 'misfire', 'must be skip, once or all'],
  ] as const)('of %s are refused', async ([, change, path, message]) => {
    expect(await faultsOf('bad', { ...job, ...change })).toEqual([{ path, message: expect.stringMatching(message) }]);
  });

  test.for([
    ['none', `DEFAULT, DEFAULT`],
    ['two', `'* * * * *', 5000`],
    ['less than a second', `DEFAULT, 999`],
  ] as const)('of %s are refused by the table too', async ([, values]) => {
    const insert = `INSERT INTO treadle.schedules (name, job_name, cron, every_ms) VALUES ('bad', 'reports.tidy', ${values})`;
    await expect(database.query(insert)).rejects.toMatchObject({ code: '23514' });
  });
});
