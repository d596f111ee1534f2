import { afterEach, beforeAll, expect, test } from 'vitest';
import { fireSchedule } from '../../../src/queues/schedules/fire-schedule.ts';
import { useDatabase } from '../../services/database.ts';
import { accept, publish, storeOf } from './schedule-fixtures.ts';

const database = useDatabase();
beforeAll(() => publish(database));
afterEach(async () => {
  await database.query('DELETE FROM treadle.schedules');
  await database.query('DELETE FROM treadle.jobs');
});

const storeAt = (time: string) => storeOf(database, () => new Date(time));
const store = () => storeAt('2026-06-01T12:00:00Z');
const nightly = { jobName: 'reports.send', payload: { to: 'all' }, options: { tags: ['nightly'] }, cron: '0 3 * * *' };
const fireAt = (time: string) =>
  fireSchedule('nightly', { postgres: database.postgres, accept, now: () => new Date(time), onTimeMs: 60_000 });

test('the history tells of each fire, how late it came, and what became of its job, a page at a time', async () => {
  await store().put('nightly', { ...nightly, misfire: 'once' });
  await fireAt('2026-06-02T03:00:00.250Z');
  await fireAt('2026-06-04T09:00:00Z');
  await database.query('DELETE FROM treadle.jobs WHERE id = (SELECT min(id::text)::uuid FROM treadle.jobs)');
  const first = await store().fires('nightly', { limit: 2 });
  expect(first.items).toEqual([
    {
      fireAt: new Date('2026-06-04T03:00:00Z'),
      firedAt: new Date('2026-06-04T09:00:00Z'),
      lateMs: 6 * 3_600_000,
      byHand: false,
      skipped: false,
      jobId: expect.any(String),
      jobState: 'accepted',
    },
    expect.objectContaining({ fireAt: new Date('2026-06-03T03:00:00Z'), skipped: true, jobId: null, jobState: null }),
  ]);
  const second = await store().fires('nightly', { limit: 2, cursor: first.nextCursor ?? '' });
  expect(second).toMatchObject({
    items: [{ fireAt: new Date('2026-06-02T03:00:00Z'), lateMs: 250, skipped: false, jobState: null }],
    nextCursor: null,
  });
  expect((await store().fires('nightly', { limit: 2, cursor: second.prevCursor ?? '' })).items).toEqual(first.items);
  await expect(store().fires('nightly', { limit: 2, cursor: 'nonsense' })).rejects.toMatchObject({
    details: { faults: [{ path: 'cursor' }] },
  });
});

test('the next times are told as many as are asked for, and none while it is paused', async () => {
  await store().put('nightly', nightly);
  expect((await store().nextFires('nightly', 3)).map((time) => time.toISOString())).toEqual([
    '2026-06-02T03:00:00.000Z',
    '2026-06-03T03:00:00.000Z',
    '2026-06-04T03:00:00.000Z',
  ]);
  expect(await store().nextFires('nightly', 100)).toHaveLength(100);
  await expect(store().nextFires('nightly', 101)).rejects.toMatchObject({ details: { faults: [{ path: 'limit' }] } });
  await store().pause('nightly');
  expect(await store().nextFires('nightly', 3)).toEqual([]);
});

test('a paused schedule does not fire, and does not make up for it when it is resumed', async () => {
  await store().put('nightly', { ...nightly, misfire: 'all' });
  expect(await store().pause('nightly')).toMatchObject({ paused: true, nextFireAt: null });
  await fireAt('2026-06-03T03:00:00Z');
  expect(await storeAt('2026-06-03T12:00:00Z').resume('nightly')).toMatchObject({
    paused: false,
    nextFireAt: new Date('2026-06-04T03:00:00Z'),
  });
  await storeAt('2026-06-05T12:00:00Z').resume('nightly');
  await fireAt('2026-06-05T03:00:00Z');
  expect((await store().fires('nightly', { limit: 9 })).items.map(({ fireAt: time }) => time.toISOString())).toEqual([
    '2026-06-05T03:00:00.000Z',
    '2026-06-04T03:00:00.000Z',
  ]);
});

test('a run by hand makes the job with its options, is told of in the history, and moves no other time', async () => {
  await store().put('nightly', { ...nightly, paused: true });
  const jobs = await Promise.all([store().run('nightly'), store().run('nightly')]);
  expect(jobs[0]).toMatchObject({ name: 'reports.send', queue: 'default', state: 'accepted' });
  const rows = await database.query('SELECT tags, schedule_name FROM treadle.jobs');
  expect(rows).toEqual(Array.from({ length: 2 }, () => ({ tags: ['nightly'], schedule_name: 'nightly' })));
  const { items } = await store().fires('nightly', { limit: 9 });
  expect(new Set(items.map(({ jobId }) => jobId))).toEqual(new Set(jobs.map(({ id }) => id)));
  expect(items.every(({ byHand, skipped }) => byHand && !skipped)).toBe(true);

  await store().resume('nightly');
  await storeAt('2026-06-02T03:00:00Z').run('nightly');
  expect((await fireAt('2026-06-02T03:00:00Z')).fires).toHaveLength(1);
});

test('what is asked of a schedule that is not there is NOT_FOUND', async () => {
  for (const asked of [
    () => store().pause('gone'),
    () => store().resume('gone'),
    () => store().run('gone'),
    () => store().remove('gone'),
    () => store().nextFires('gone', 5),
    () => store().fires('gone', { limit: 5 }),
  ]) {
    await expect(asked()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
});
