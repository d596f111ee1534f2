import { afterEach, beforeAll, expect, test } from 'vitest';
import { fireSchedule, type FireParts } from '../../../src/queues/schedules/fire-schedule.ts';
import { useDatabase } from '../../services/database.ts';
import { accept, firesOf, publish, storeOf } from './schedule-fixtures.ts';

const database = useDatabase();
beforeAll(() => publish(database));
afterEach(async () => {
  await database.query('DELETE FROM treadle.schedules');
  await database.query('DELETE FROM treadle.jobs');
});

const made = '2026-06-01T12:00:00Z';
const partsAt = (time: string): FireParts => ({
  postgres: database.postgres,
  accept,
  now: () => new Date(time),
  onTimeMs: 60_000,
});
const put = (paused?: boolean) =>
  storeOf(database, () => new Date(made)).put('nightly', {
    jobName: 'reports.send',
    payload: { to: 'all' },
    cron: '0 3 * * *',
    misfire: 'all',
    paused,
  });

test('of twenty that fire at once, one does, and the others find nothing left and no fault', async () => {
  await put();
  const at = '2026-06-03T03:00:00Z';
  const fired = await Promise.all(Array.from({ length: 20 }, () => fireSchedule('nightly', partsAt(at))));
  expect(fired.map(({ fires }) => fires.length).toSorted((a, b) => b - a)).toEqual([
    2,
    ...Array.from({ length: 19 }, () => 0),
  ]);
  expect(await firesOf(database, 'nightly')).toEqual(['2026-06-02T03:00:00.000Z', '2026-06-03T03:00:00.000Z']);
});

test('a schedule that was paused or removed after its timer went off does not fire', async () => {
  await put(true);
  expect(await fireSchedule('nightly', partsAt('2026-06-02T03:00:00Z'))).toMatchObject({ fires: [] });
  expect(await fireSchedule('gone', partsAt('2026-06-02T03:00:00Z'))).toMatchObject({ fires: [] });
  expect(await firesOf(database, 'nightly')).toEqual([]);
});

test('a fire that was made already is not made again when the schedule has forgotten it', async () => {
  await put();
  await fireSchedule('nightly', partsAt('2026-06-02T03:00:00Z'));
  await database.query('UPDATE treadle.schedules SET settled_until = $1', [made]);
  expect(await fireSchedule('nightly', partsAt('2026-06-02T03:00:01Z'))).toMatchObject({ fires: [] });
  expect(await firesOf(database, 'nightly')).toEqual(['2026-06-02T03:00:00.000Z']);
});
