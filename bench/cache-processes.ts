import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { CacheManager } from '../src/lib/cache/cache-manager.ts';
import { percentile } from './measure.ts';

export interface CacheServers {
  readonly postgresUrl: string;
  readonly redisUrl: string | undefined;
  readonly bus: 'redis' | 'notify';
}

const program = new URL('./processes/cache-process.ts', import.meta.url);

const start = async ({ postgresUrl, redisUrl, bus }: CacheServers): Promise<ChildProcess> => {
  const child = fork(program, [], {
    env: {
      ...process.env,
      DATABASE_URL: postgresUrl,
      BUS: bus,
      ...(redisUrl === undefined ? {} : { REDIS_CACHE_URL: redisUrl }),
    },
  });
  await once(child, 'message');
  return child;
};

const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.disconnect();
  await ended;
};

/** From the moment of an invalidation here until another process no longer holds the entry, in milliseconds. */
export const invalidationDelays = async (
  servers: CacheServers,
  cache: CacheManager,
  count: number,
): Promise<{ readonly p50: number; readonly p99: number }> => {
  const child = await start(servers);
  const delays: number[] = [];
  try {
    for (let round = 0; round < count; round += 1) {
      const key = `watched:${round}`;
      const held = once(child, 'message');
      child.send({ watch: key });
      await held;
      const gone = once(child, 'message');
      const sentAt = performance.timeOrigin + performance.now();
      await cache.delete(key);
      const [message] = (await gone) as [{ readonly gone: number }];
      delays.push(message.gone - sentAt);
    }
  } finally {
    await stop(child);
  }
  return { p50: percentile(delays, 0.5), p99: percentile(delays, 0.99) };
};

/** How many of so many processes compute a key that all ask for at the same time. */
export const coldKeyComputations = async (servers: CacheServers, processes: number): Promise<number> => {
  const children: ChildProcess[] = [];
  try {
    // A few at a time: all of them at once would wait for each other.
    for (let from = 0; from < processes; from += 4) {
      const part = Array.from({ length: Math.min(4, processes - from) }, () => start(servers));
      children.push(...(await Promise.all(part)));
    }
    const answers = children.map(async (child) => {
      const [message] = (await once(child, 'message')) as [{ readonly computed: number }];
      return message.computed;
    });
    for (const child of children) child.send({ ask: 'cold:1' });
    return (await Promise.all(answers)).reduce((sum, computed) => sum + computed, 0);
  } finally {
    await Promise.all(children.map(stop));
  }
};
