import { expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis } from '../services/redis.ts';
import { RunningProcess } from './run-process.ts';

describeWithRedis('many processes that ask for one cold key', () => {
  const database = useDatabase();
  const redis = useRedis();
  const start = (key: string, takesMs: number) =>
    new RunningProcess('cache-asker.ts', {
      args: [key, String(takesMs)],
      env: { DATABASE_URL: database.url, REDIS_CACHE_URL: redis.url },
    });
  const computedBy = async (key: string) =>
    (await database.query<{ pid: number }>('SELECT pid FROM computed WHERE key = $1', [key])).map(({ pid }) => pid);

  test('compute it once; when the one who does is killed, another one does', async () => {
    await database.query('CREATE TABLE computed (key text, pid integer)');
    const eight = Array.from({ length: 8 }, () => start('cold:1', 300));
    for (const one of eight) expect(await one.line()).toBe('ready');
    await redis.client.set('go', '1', 'EX', 600);
    const answers = await Promise.all(eight.map((one) => one.line()));
    const computed = await computedBy('cold:1');
    expect(computed).toHaveLength(1);
    expect(new Set(answers)).toEqual(new Set(computed.map(String)));
    for (const one of eight) expect(await one.ended()).toBe(0);

    const first = start('cold:2', 60_000);
    expect(await first.line()).toBe('ready');
    await expect.poll(() => computedBy('cold:2'), { timeout: 10_000 }).toHaveLength(1);
    const second = start('cold:2', 10);
    expect(await second.line()).toBe('ready');
    await first.end('SIGKILL');
    expect(await second.line()).toBe(String(second.child.pid));
    expect(await second.ended()).toBe(0);
  });
});
