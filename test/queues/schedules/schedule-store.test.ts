import { expect, test } from 'vitest';
import type { AppError } from '../../../src/lib/errors/app-error.ts';
import type { ScheduleInput } from '../../../src/queues/ports.ts';
import { createScheduleStore } from '../../../src/queues/schedules/schedule-store.ts';
import { useDatabase } from '../../services/database.ts';
import { findContract } from './schedule-fixtures.ts';

const database = useDatabase();
const store = () =>
  createScheduleStore({ postgres: database.postgres, findContract, now: () => new Date('2026-06-01T12:00:00Z') });
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
  ['a range backwards', '50-10 * * * *', /cannot be used/],
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
      'cron',
      'timeZone',
      'misfire',
    ]),
  );
  expect(faults.filter(({ path }) => path === 'cron')).toHaveLength(2);
  expect(faults.some(({ message }) => message.includes('colour'))).toBe(true);
  expect(faults.some(({ message }) => message.includes('when'))).toBe(true);
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
