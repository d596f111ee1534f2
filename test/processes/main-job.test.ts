import net from 'node:net';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { useTreadleProcesses } from './treadle-processes.ts';

const freePort = async (): Promise<number> => {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
};

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const processes = useTreadleProcesses();

  test('a document that is written, over HTTP or by plain SQL, is found by words and by meaning', async () => {
    const port = await freePort();
    const env = { DATABASE_URL: database.url, REDIS_URL: redis?.url ?? '', TREADLE_PORT: String(port) };
    const scheduler = await processes.start('scheduler', env);
    const worker = await processes.start('worker', env);
    const api = await processes.start('api', env);
    const call = async (method: string, path: string, body?: unknown) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      const answered: ReturnType<typeof JSON.parse> = await answer.json();
      return { status: answer.status, body: answered };
    };
    const titles = async (query: string, mode: string): Promise<string[]> => {
      const { body } = await call('POST', '/v1/workspaces/kitchen/search', { query, mode });
      return body.hits.map((hit: { title: string }) => hit.title);
    };

    expect(await call('POST', '/v1/workspaces', { name: 'kitchen' })).toMatchObject({ status: 201 });
    const sourdough = {
      title: 'Baking sourdough bread',
      content: 'Feed the starter, knead the dough, and bake the loaf in a hot oven.',
      tags: ['baking'],
    };
    const written = await call('POST', '/v1/workspaces/kitchen/knowledge', sourdough);
    expect(written.status).toBe(201);
    await expect
      .poll(() => titles('bake a loaf of bread in the oven', 'semantic'), { timeout: 15_000 })
      .toEqual([sourdough.title]);
    expect(await titles('knead', 'keyword')).toEqual([sourdough.title]);

    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title, content)
       SELECT id, 'Sharpening kitchen knives', 'Hold the blade at a steady angle against the whetstone.' FROM treadle.workspaces WHERE name = 'kitchen'`,
    );
    await expect
      .poll(async () => (await titles('sharp blade on a whetstone', 'semantic'))[0], { timeout: 15_000 })
      .toBe('Sharpening kitchen knives');
    expect(await titles('whetstone', 'keyword')).toEqual(['Sharpening kitchen knives']);
    expect((await titles('sharpen a knife', 'hybrid'))[0]).toBe('Sharpening kitchen knives');

    const { body: jobs } = await call('GET', '/v1/jobs?queue=embeddings&state=completed');
    expect(jobs.items).toHaveLength(2);
    expect(jobs.items[0]).toMatchObject({ name: 'embeddings.embed-document', state: 'completed', attemptsMade: 1 });
    expect((await call('GET', '/health/ready')).status).toBe(200);

    expect(await processes.end(api)).toBe(0);
    expect(await processes.end(worker)).toBe(0);
    expect(await processes.end(scheduler)).toBe(0);
  });
};

describe('the main job, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('the main job, BullMQ on Redis', () => {
  suite(useRedis());
});
