import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ScheduleInput, ScheduleStore } from '../../../src/queues/ports.ts';
import type { SchedulerOptions } from '../../../src/queues/schedules/scheduler.ts';
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
const start = async (options?: Parameters<typeof startScheduler>[1]): Promise<RunningScheduler> => {
  const scheduler = await startScheduler(database, options);
  running.push(scheduler);
  return scheduler;
};

const storeAt = (now?: () => Date): ScheduleStore => storeOf(database, now);
const job = { jobName: 'reports.send', payload: { to: 'all' } } as const;

/** A clock that a test moves by hand. */
const clockAt = (text: string): { readonly now: () => Date; set(text: string): void } => {
  let time = new Date(text);
  return {
    now: () => time,
    set: (next) => {
      time = new Date(next);
    },
  };
};
const quick = (now: () => Date): SchedulerOptions => ({ now, pollMs: 20 });

const putAt = (clock: { readonly now: () => Date }, input: Partial<ScheduleInput>, name = 'nightly') =>
  storeAt(clock.now).put(name, { ...job, cron: '0 3 * * *', ...input });

/** What a nightly schedule made on 1 June at noon has fired after a scheduler first starts at `until`. */
const missed = async (input: Partial<ScheduleInput>, until: string): Promise<readonly string[]> => {
  const clock = clockAt('2026-06-01T12:00:00Z');
  await putAt(clock, input);
  clock.set(until);
  await start(quick(clock.now));
  await eventually(async () => {
    const [row] = await database.query<{ settled: boolean }>(
      `SELECT settled_until > $1 AS settled FROM treadle.schedules WHERE name = 'nightly'`,
      ['2026-06-01T12:00:00Z'],
    );
    expect(row?.settled).toBe(true);
  });
  return firesOf(database, 'nightly');
};

describe('on the running clock', () => {
  test('two schedulers fire a schedule of every second once a second, at the second', async () => {
    const [first] = await Promise.all([start(), start()]);
    await storeAt().put('seconds', { ...job, cron: '* * * * * *' });
    await eventually(async () => expect((await firesOf(database, 'seconds')).length).toBeGreaterThanOrEqual(4));
    const fires = await firesOf(database, 'seconds');
    const gaps = fires.slice(1).map((time, index) => Date.parse(time) - Date.parse(fires[index] ?? ''));
    expect(new Set(gaps)).toEqual(new Set([1_000]));
    const [late] = await database.query<{ ms: number }>(
      `SELECT max(extract(epoch FROM created_at - fire_at) * 1000)::float8 AS ms FROM treadle.schedule_fires`,
    );
    expect(late?.ms).toBeLessThan(900);

    await first.close();
    running.splice(running.indexOf(first), 1);
    const before = (await firesOf(database, 'seconds')).length;
    await eventually(async () =>
      expect((await firesOf(database, 'seconds')).length).toBeGreaterThanOrEqual(before + 2),
    );
  });

  test('a schedule paused, edited, resumed and removed at run time is followed at once', async () => {
    await start({ pollMs: 3_600_000 });
    const store = storeAt();
    const every = { ...job, cron: '* * * * * *' };
    await store.put('live', every);
    await eventually(async () => expect((await firesOf(database, 'live')).length).toBeGreaterThanOrEqual(1));

    await store.put('live', { ...every, paused: true });
    const atPause = await firesOf(database, 'live');
    await store.put('beside', every);
    await eventually(async () => expect((await firesOf(database, 'beside')).length).toBeGreaterThanOrEqual(2));
    expect(await firesOf(database, 'live')).toEqual(atPause);

    await store.put('live', { ...every, paused: false, payload: { to: 'others' } });
    await eventually(async () =>
      expect((await firesOf(database, 'live')).length).toBeGreaterThanOrEqual(atPause.length + 2),
    );
    const [{ others } = { others: 0 }] = await database.query<{ others: number }>(
      `SELECT count(*)::int AS others FROM treadle.jobs WHERE schedule_name = 'live' AND payload ->> 'to' = 'others'`,
    );
    expect(others).toBe((await firesOf(database, 'live')).length - atPause.length);

    await store.remove('live');
    const count = `SELECT count(*)::int AS jobs FROM treadle.jobs WHERE schedule_name = 'live'`;
    const atRemoval = await database.query(count);
    const before = (await firesOf(database, 'beside')).length;
    await eventually(async () => expect((await firesOf(database, 'beside')).length).toBeGreaterThanOrEqual(before + 2));
    expect(await database.query(count)).toEqual(atRemoval);
  });

  test('a scheduler whose connections were cut goes on firing and following changes', async () => {
    await start({ pollMs: 500 });
    await storeAt().put('seconds', { ...job, cron: '* * * * * *' });
    await eventually(async () => expect((await firesOf(database, 'seconds')).length).toBeGreaterThanOrEqual(1));
    const cut = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'scheduler%'`;
    expect((await database.query(cut)).length).toBeGreaterThanOrEqual(2);
    const before = (await firesOf(database, 'seconds')).length;
    await storeAt().put('later', { ...job, cron: '* * * * * *' });
    await eventually(async () => {
      expect((await firesOf(database, 'seconds')).length).toBeGreaterThanOrEqual(before + 3);
      expect((await firesOf(database, 'later')).length).toBeGreaterThanOrEqual(1);
    });
    const fires = await firesOf(database, 'seconds');
    expect(Date.parse(fires.at(-1) ?? '') - Date.parse(fires[0] ?? '')).toBe((fires.length - 1) * 1_000);
  });

  test('a schedule written by plain SQL is found by the next look, and nonsense among them stops no other', async () => {
    await start({ pollMs: 50 });
    await database.query(`
      INSERT INTO treadle.schedules (name, job_name, payload, cron, time_zone) VALUES
        ('nonsense', 'reports.send', '{"to":"x"}', '99 * * * *', 'UTC'),
        ('nowhere', 'reports.send', '{"to":"x"}', '* * * * * *', 'Mars/Olympus'),
        ('plain', 'reports.send', '{"to":"x"}', '* * * * * *', 'UTC')`);
    await eventually(async () => expect((await firesOf(database, 'plain')).length).toBeGreaterThanOrEqual(1));
    expect((await storeAt().find('nonsense'))?.nextFireAt).toBeNull();
  });
});

describe('fires missed while no scheduler ran', () => {
  test('skip drops them', async () => {
    expect(await missed({ misfire: 'skip' }, '2026-06-05T10:00:00Z')).toEqual([]);
    expect((await storeAt().find('nightly'))?.lastFireAt).toBeNull();
  });

  test('once runs the latest of them', async () => {
    expect(await missed({ misfire: 'once' }, '2026-06-05T10:00:00Z')).toEqual(['2026-06-05T03:00:00.000Z']);
  });

  test('all runs each of them', async () => {
    expect(await missed({ misfire: 'all' }, '2026-06-05T10:00:00Z')).toEqual([
      '2026-06-02T03:00:00.000Z',
      '2026-06-03T03:00:00.000Z',
      '2026-06-04T03:00:00.000Z',
      '2026-06-05T03:00:00.000Z',
    ]);
  });

  test('a restart over a fire time loses nothing, whatever the policy', async () => {
    expect(await missed({ misfire: 'skip' }, '2026-06-02T03:00:20Z')).toEqual(['2026-06-02T03:00:00.000Z']);
  });

  test('fires of the time it was paused, or had another timing, are not missed ones', async () => {
    const clock = clockAt('2026-06-01T12:00:00Z');
    await putAt(clock, { misfire: 'all', paused: true });
    await putAt(clock, { misfire: 'all', cron: '0 4 * * *' }, 'retimed');
    clock.set('2026-06-03T12:00:00Z');
    await putAt(clock, { misfire: 'all', paused: false });
    await putAt(clock, { misfire: 'all', cron: '0 5 * * *' }, 'retimed');
    clock.set('2026-06-04T12:00:00Z');
    await start(quick(clock.now));
    await eventually(async () => {
      expect(await firesOf(database, 'nightly')).toEqual(['2026-06-04T03:00:00.000Z']);
      expect(await firesOf(database, 'retimed')).toEqual(['2026-06-04T05:00:00.000Z']);
    });
  });
});

describe('on a clock moved by hand', () => {
  test('each night of both clock changes has one fire', async () => {
    for (const [days, expected] of [
      [
        [
          '2026-03-07T12:00:00Z',
          '2026-03-08T07:29:59Z',
          '2026-03-08T07:30:05Z',
          '2026-03-08T08:30:05Z',
          '2026-03-09T06:30:05Z',
        ],
        ['2026-03-08T07:30:00.000Z', '2026-03-09T06:30:00.000Z'],
      ],
      [
        [
          '2026-10-31T12:00:00Z',
          '2026-11-01T05:30:05Z',
          '2026-11-01T06:30:05Z',
          '2026-11-01T12:00:00Z',
          '2026-11-02T06:30:05Z',
        ],
        ['2026-11-01T05:30:00.000Z', '2026-11-02T06:30:00.000Z'],
      ],
    ] as const) {
      const clock = clockAt(days[0]);
      const spring = days[0].startsWith('2026-03');
      await putAt(clock, { cron: spring ? '30 2 * * *' : '30 1 * * *', timeZone: 'America/New_York', misfire: 'all' });
      const schedulers = [
        await startScheduler(database, quick(clock.now)),
        await startScheduler(database, quick(clock.now)),
      ];
      for (const [step, day] of days.entries()) {
        clock.set(day);
        await putAt(clock, { cron: '* * * * * *' }, `marker-${step}`);
        clock.set(new Date(Date.parse(day) + 1_000).toISOString());
        await eventually(async () => expect(await firesOf(database, `marker-${step}`)).toHaveLength(1));
        await storeAt().remove(`marker-${step}`);
      }
      await eventually(async () => expect(await firesOf(database, 'nightly')).toEqual(expected));
      await Promise.all(schedulers.map((scheduler) => scheduler.close()));
      await storeAt().remove('nightly');
      await database.query('DELETE FROM treadle.jobs');
    }
  });

  test('a clock that jumps ahead and back again repeats nothing', async () => {
    const clock = clockAt('2026-06-01T02:59:59Z');
    await putAt(clock, { cron: '0 * * * *', misfire: 'all' });
    await start(quick(clock.now));
    clock.set('2026-06-01T05:00:01Z');
    const three = ['2026-06-01T03:00:00.000Z', '2026-06-01T04:00:00.000Z', '2026-06-01T05:00:00.000Z'];
    await eventually(async () => expect(await firesOf(database, 'nightly')).toEqual(three));
    clock.set('2026-06-01T03:00:01Z');
    await start(quick(clock.now));
    clock.set('2026-06-01T06:00:01Z');
    await eventually(async () =>
      expect(await firesOf(database, 'nightly')).toEqual([...three, '2026-06-01T06:00:00.000Z']),
    );
  });

  test('a fire whose job cannot be accepted leaves no trace, and is made up for when it can', async () => {
    const clock = clockAt('2026-06-01T02:59:59Z');
    await putAt(clock, {});
    let broken = true;
    let tried = 0;
    await start({
      ...quick(clock.now),
      accept: async (tx, scheduled, count) => {
        const jobs = await accept(tx, scheduled, count);
        tried += 1;
        if (broken) throw new Error('no room');
        return jobs;
      },
    });
    clock.set('2026-06-01T03:00:01Z');
    await eventually(async () => expect(tried).toBe(1));
    expect(await firesOf(database, 'nightly')).toEqual([]);
    broken = false;
    clock.set('2026-06-01T03:10:00Z');
    await putAt(clock, {});
    await eventually(async () => expect(await firesOf(database, 'nightly')).toEqual(['2026-06-01T03:00:00.000Z']));
  });
});

describe('built-in schedules', () => {
  const builtIn = { name: 'tidy', jobName: 'reports.tidy', cron: '0 * * * *', timeZone: 'UTC' } as const;

  test('are stored at start, follow the code, and stay paused', async () => {
    await (await start({ builtIns: [builtIn] })).close();
    running.splice(0);
    expect(await storeAt().find('tidy')).toMatchObject({ builtIn: true, paused: false, cron: '0 * * * *' });
    const updated = 'SELECT updated_at FROM treadle.schedules';
    const before = await database.query(updated);
    await (await start({ builtIns: [builtIn] })).close();
    running.splice(0);
    expect(await database.query(updated)).toEqual(before);
    await storeAt().put('tidy', { jobName: 'reports.tidy', cron: '0 * * * *', paused: true });
    await start({ builtIns: [{ ...builtIn, cron: '30 * * * *' }] });
    expect(await storeAt().find('tidy')).toMatchObject({ builtIn: true, paused: true, cron: '30 * * * *' });
  });

  test('can be neither changed otherwise nor removed, until the code no longer has them', async () => {
    await start({ builtIns: [builtIn] });
    await expect(storeAt().put('tidy', { jobName: 'reports.tidy', cron: '5 * * * *' })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'cron' }] },
    });
    await expect(storeAt().remove('tidy')).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
    await start();
    await storeAt().remove('tidy');
    expect(await storeAt().find('tidy')).toBeUndefined();
  });

  test('keep what they missed over a restart', async () => {
    const clock = clockAt('2026-06-01T12:00:00Z');
    await (await start({ ...quick(clock.now), builtIns: [builtIn] })).close();
    running.splice(0);
    clock.set('2026-06-01T15:30:00Z');
    await start({ ...quick(clock.now), builtIns: [builtIn] });
    await eventually(async () => expect(await firesOf(database, 'tidy')).toEqual(['2026-06-01T15:00:00.000Z']));
  });
});
