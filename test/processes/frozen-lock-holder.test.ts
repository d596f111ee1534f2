import { describe, expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { RunningProcess } from './run-process.ts';

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const start = async (name: string): Promise<RunningProcess> => {
    const holder = new RunningProcess('lock-holder.ts', {
      args: [name],
      env: { DATABASE_URL: database.url, REDIS_URL: redis?.url ?? '', LOG_LEVEL: 'silent' },
    });
    expect(await holder.line()).toBe('ready');
    return holder;
  };
  /** The next line that says this. */
  const says = async (holder: RunningProcess, what: string): Promise<string> => {
    for (;;) {
      const line = await holder.line();
      if (line.startsWith(what)) return line;
    }
  };
  const countsBy = (holder: string): Promise<readonly { fence: string }[]> =>
    database.query<{ fence: string }>('SELECT fence FROM counts WHERE holder = $1', [holder]);

  test('a holder that stands still for longer than its lock lasts can write nothing when it wakes', async () => {
    await database.query('CREATE TABLE counts (n integer, fence bigint, holder text, seq serial)');
    const [first, second] = [await start('first'), await start('second')];
    for (let round = 0; round < 3; round += 1) {
      await says(first, 'accepted');
      await says(first, 'holds');
      first.child.kill('SIGSTOP');
      const before = (await countsBy('second')).length;
      await expect
        .poll(() => countsBy('second').then(({ length }) => length), { timeout: 20_000 })
        .toBeGreaterThan(before + 2);
      first.child.kill('SIGCONT');
      // It has not been told yet, or just so: either way its write is refused.
      await says(first, 'refused');
    }
    first.child.kill('SIGTERM');
    await says(first, 'ended');
    second.child.kill('SIGTERM');
    await says(second, 'ended');
    expect(await Promise.all([first.ended(), second.ended()])).toEqual([0, 0]);

    // Each number was counted once, in the order of the tokens: nobody wrote what he had read before somebody else wrote.
    const counts = await database.query<{ n: number; fence: string }>('SELECT n, fence FROM counts ORDER BY seq');
    expect(counts.map(({ n }) => n)).toEqual(counts.map((_, index) => index + 1));
    const fences = counts.map(({ fence }) => Number(fence));
    expect(fences).toEqual(fences.toSorted((a, b) => a - b));
    expect(new Set(fences).size).toBe(fences.length);
  });
};

describe('a frozen holder of a lock in Postgres', () => suite());
describeWithRedis('a frozen holder of a lock in Redis', () => suite(useRedis()));
