import { Writable } from 'node:stream';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { connectBullOnRedis } from '../../src/queues/bullmq/redis-backend.ts';
import { smallestAcl } from '../services/redis-acl.ts';
import { startTlsServer, testCertificate } from '../services/redis-tls.ts';
import { describeWithRedisProgram } from '../services/redis.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

describeWithRedisProgram('BullMQ over TLS, as a user who may do little else', (program) => {
  let tls: Awaited<ReturnType<typeof startTlsServer>>;
  let admin: Redis;
  beforeAll(async () => {
    tls = await startTlsServer(program, { clients: 'no' });
    admin = new Redis(tls.server.url);
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>p@ss', ...smallestAcl);
  });
  afterAll(async () => {
    admin.disconnect();
    await tls.server.stop();
  });

  const lines: string[] = [];
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });

  /** Runs one job from add to end and answers its payload as the handler saw it. */
  const runOne = async (): Promise<unknown> => {
    const url = tls.url.replace('//', '//app:p%40ss@');
    const files = { ca: testCertificate, cert: undefined, key: undefined };
    const bull = await connectBullOnRedis({ variable: 'REDIS_URL', url, tls: files }, pino({ level: 'warn' }, stream));
    const queue = bull.openQueue('things');
    const seen = Promise.withResolvers<unknown>();
    const worker = bull.openWorker(
      'things',
      async (job) => {
        seen.resolve(job.data);
        return null;
      },
      { concurrency: 1, lockMs: 5_000 },
    );
    try {
      await queue.add('job', { items: [] }, { removeOnComplete: true });
      return await seen.promise;
    } finally {
      await worker.close();
      await queue.close();
      await bull.close();
    }
  };

  test('runs a job and warns of nothing', async () => {
    expect(await runOne()).toEqual({ items: [] });
    expect(lines).toEqual([]);
    expect(await admin.acl('LOG')).toEqual([]);
  });

  test('warns once of a Redis that evicts', async () => {
    const said = vi.spyOn(console, 'warn');
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lfu');
    expect(await runOne()).toEqual({ items: [] });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      event: 'redis.may-evict',
      msg: expect.stringMatching(/allkeys-lfu.*noeviction/),
    });
    expect(said).not.toHaveBeenCalled();
  });
});
