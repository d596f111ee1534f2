import { afterAll, beforeAll, expect, test } from 'vitest';
import { Replicator } from '../../src/changes/replicator.ts';
import { CacheSink, cacheTables } from '../../src/changes/sinks/cache-sink.ts';
import { KnowledgeSource } from '../../src/domain/search/elasticsearch/knowledge-source.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { dropSlot } from '../../src/lib/replication/slot.ts';
import { usePlatforms } from '../domain/caching/platforms.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis } from '../services/redis.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';

describeWithRedis('the cache as a sink of the change stream', () => {
  const database = useDatabase();
  const redis = useRedis();
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = new TcpProxy(redis.url);
    await proxy.open();
  });
  const platforms = usePlatforms(database, {
    get url() {
      return proxy.url;
    },
  });
  const slot = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
  let replicator: Replicator;
  let ws = '';
  beforeAll(async () => {
    const { postgres, cacheInvalidation, workspaces } = platforms.two;
    ws = (await workspaces.create({ name: 'w' })).id;
    const { tables } = new KnowledgeSource({ model: 'm', dimensions: 8 });
    replicator = new Replicator({
      postgres,
      log: createLog({ level: 'silent' }),
      slot,
      sinks: [new CacheSink({ db: postgres, invalidation: cacheInvalidation })],
      publications: [{ name: 'treadle', tables: [...tables, ...cacheTables] }],
      statusMs: 50,
      heartbeatMs: 100,
      silenceMs: 2_000,
      limits: { patienceMs: 200 },
    });
    replicator.start();
  });
  afterAll(async () => {
    await replicator.close();
    await dropSlot(database.postgres, slot);
    await proxy.close();
  });

  test('documents, names, workspaces and everything at once are forgotten, whoever changes them', async () => {
    const { one } = platforms;
    const told = async () => (await database.query('SELECT treadle.caches_are_told() AS told'))[0]?.['told'];
    await expect.poll(told, { timeout: 20_000 }).toBe(true);
    const [row] = await database.query<{ id: string }>(
      `INSERT INTO treadle.knowledge (workspace_id, title, content) VALUES ($1, 'first', '') RETURNING id`,
      [ws],
    );
    const id = row?.id ?? '';
    const title = async () => (await one.knowledge.findById(ws, id))?.title;
    const latest = async () => (await one.knowledge.findByWorkspace(ws)).items.map((document) => document.title);
    await expect.poll(title).toBe('first');
    await expect.poll(latest).toEqual(['first']);
    await database.query(`UPDATE treadle.knowledge SET title = 'second' WHERE id = $1`, [id]);
    await expect.poll(title).toBe('second');
    await expect.poll(latest).toEqual(['second']);
    await database.query(
      `WITH made AS (INSERT INTO treadle.collections (workspace_id, name) VALUES ($1, 'Old') RETURNING id)
       UPDATE treadle.knowledge SET collection_id = made.id FROM made`,
      [ws],
    );
    const collection = async () => (await one.knowledge.findById(ws, id))?.collection?.name;
    await expect.poll(collection).toBe('Old');
    await database.query(`UPDATE treadle.collections SET name = 'New'`);
    await expect.poll(collection).toBe('New');
    await one.workspaces.findById(ws);
    await database.query(`UPDATE treadle.workspaces SET time_zone = 'Asia/Tokyo' WHERE id = $1`, [ws]);
    await expect.poll(async () => (await one.workspaces.findById(ws))?.timeZone).toBe('Asia/Tokyo');
    await database.query('TRUNCATE treadle.knowledge CASCADE');
    await expect.poll(latest).toEqual([]);
  });

  test('rules of an app are triggered in its own process', async () => {
    const { one } = platforms;
    await one.cacheInvalidation.registerRule({ id: 'r', pattern: 'report:*', triggers: ['knowledge.updated'] });
    await one.cache.set('report:1', 1);
    await database.query(`INSERT INTO treadle.knowledge (workspace_id, title, content) VALUES ($1, 'x', '')`, [ws]);
    await expect.poll(() => one.cache.get('report:1')).toBeUndefined();
  });

  test('while Redis is away nothing is taken; then everything is', async () => {
    const { one, two } = platforms;
    const sink = async () =>
      (await database.query(`SELECT state FROM treadle.change_sinks WHERE name = 'cache'`))[0]?.['state'];
    const created = await one.knowledge.create(ws, { title: 'before', content: '' });
    await expect.poll(async () => (await two.knowledge.findById(ws, created.id))?.title).toBe('before');
    await proxy.close();
    await database.query(`UPDATE treadle.knowledge SET title = 'after' WHERE id = $1`, [created.id]);
    await expect.poll(sink, { timeout: 10_000 }).not.toBe('following');
    await proxy.open();
    await expect.poll(sink, { timeout: 20_000 }).toBe('following');
    await expect.poll(async () => (await one.knowledge.findById(ws, created.id))?.title).toBe('after');
  });
});
