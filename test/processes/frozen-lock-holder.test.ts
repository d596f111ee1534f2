import { describe, expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { RunningProcess } from './run-process.ts';

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const start = async (name: string, holdMs: number): Promise<RunningProcess> => {
    const env = {
      DATABASE_URL: database.url,
      REDIS_URL: redis?.url ?? '',
      LOG_LEVEL: 'silent',
      HOLD_MS: String(holdMs),
    };
    const holder = new RunningProcess('lock-holder.ts', { args: [name], env });
    expect(await holder.line()).toBe('ready');
    return holder;
  };
  /** The next line that says one of these. */
  const says = async (holder: RunningProcess, ...what: readonly string[]): Promise<string> => {
    for (;;) {
      const [said = ''] = (await holder.line()).split(' ');
      if (what.includes(said)) return said;
    }
  };
  const countsBy = (holder: string): Promise<readonly { fence: string }[]> =>
    database.query<{ fence: string }>('SELECT fence FROM counts WHERE holder = $1', [holder]);

  test('a holder that stands still for longer than its lock lasts can write nothing when it wakes', async () => {
    await database.query('CREATE TABLE counts (n integer, fence bigint, holder text, seq serial)');
    const [first, second] = [await start('first', 300), await start('second', 20)];
    for (let refused = 0; refused < 2;) {
      await says(first, 'holds');
      first.child.kill('SIGSTOP');
      const before = (await countsBy('second')).length;
      const counted = (): Promise<number> => countsBy('second').then(({ length }) => length);
      await expect.poll(counted, { timeout: 60_000 }).toBeGreaterThan(before + 2);
      first.child.kill('SIGCONT');
      // Whether it was told of its loss first or not. On a slow machine it may have been frozen a moment too late.
      if ((await says(first, 'refused', 'accepted')) === 'refused') refused += 1;
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

describe('a frozen holder of a lock in Postgres', () => {
  suite();
});
describeWithRedis('a frozen holder of a lock in Redis', () => {
  suite(useRedis());
});
