import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadBuiltInHandlers } from '../../../src/jobs/built-in-jobs.ts';
import { backfillIndexJob, repairIndexJob, verifyIndexJob } from '../../../src/jobs/maintenance/contract.ts';
import { syncDocument } from '../../../src/jobs/search/contract.ts';
import { dropSlot, slotNameOf } from '../../../src/lib/replication/slot.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import type { AnyHandler } from '../../../src/queues/handle.ts';
import { startReplicator } from '../../../src/workers/replicator.ts';
import type { RunningRole } from '../../../src/workers/running-role.ts';
import { runTreadle } from '../../cli/run-treadle.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useElasticsearch } from '../../services/elasticsearch.ts';
import { SearchWorld } from './search-world.ts';

const handlers: readonly AnyHandler[] = elasticsearchUrl === '' ? [] : await loadBuiltInHandlers();

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] the jobs that keep an index', () => {
  const database = useDatabase();
  const { elasticsearch, prefix } = useElasticsearch();
  const env = { ELASTICSEARCH_URL: elasticsearchUrl, ELASTICSEARCH_PREFIX: prefix };
  const treadle = useTreadle({ database, contracts: [], handlers, env });
  const world = new SearchWorld(database);
  let replicator: RunningRole;
  let ws = '';
  const alias = `${prefix}knowledge`;
  const done = async (id: string): Promise<JobRecord> => {
    const job = await treadle.platform.jobs.wait(id, 50_000);
    if (job?.state !== 'completed') throw new Error(`the job is ${job?.state}: ${JSON.stringify(job)}`);
    return job;
  };
  const count = async (): Promise<number> =>
    elasticsearch.call(async (client, options) => {
      await client.indices.refresh({ index: `${alias}-live` }, options);
      return (await client.count({ index: `${alias}-live` }, options)).count;
    });
  const remove = (id: string) =>
    elasticsearch.call((client, options) => client.delete({ index: alias, id: `${ws}:${id}` }, options));
  const current = () =>
    treadle.platform.indexes
      .get('knowledge')
      .states.awaitCurrent('knowledge', { signal: AbortSignal.timeout(40_000), timeoutMs: 30_000 });

  beforeAll(async () => {
    replicator = await startReplicator(treadle.platform);
  });
  beforeEach(async () => {
    await database.query(`DELETE FROM treadle.workspaces WHERE name LIKE 'w-%'`);
    ws = await world.workspace();
  });
  afterAll(async () => {
    await replicator?.close();
    await dropSlot(database.postgres, await slotNameOf(database.postgres));
  });

  it('build it by themselves when there is none', async () => {
    await world.write(ws, { title: 'First' });
    await expect
      .poll(async () => (await treadle.platform.indexes.get('knowledge').states.read('knowledge'))?.live ?? null, {
        timeout: 50_000,
      })
      .not.toBeNull();
    await current();
    expect(await count()).toBe(1);
  });

  it('verify and repair what differs, and note it down', async () => {
    const ids = [await world.write(ws, { title: 'One' }), await world.write(ws, { title: 'Two' })];
    await current();
    await remove(ids[0] ?? '');
    const { enqueuer } = treadle.platform;
    const verified = await done((await enqueuer.enqueue(verifyIndexJob, { index: 'knowledge' })).id);
    expect(verified.result).toMatchObject({ indexes: [{ index: 'knowledge', missing: 1, repaired: 1, documents: 2 }] });
    const record = await treadle.platform.indexes.get('knowledge').states.read('knowledge');
    expect(record).toMatchObject({ differences: 1, verifiedAt: expect.any(Date) });
    expect(await count()).toBe(2);
    await remove(ids[1] ?? '');
    const repaired = await done((await enqueuer.enqueue(repairIndexJob, { index: 'knowledge' })).id);
    expect(repaired.result).toMatchObject({ missing: 1, repaired: 1 });
    expect(await count()).toBe(2);
  });

  it('write all documents again, and one', async () => {
    const ids = [await world.write(ws, { title: 'One' }), await world.write(ws, { title: 'Two' })];
    await current();
    for (const id of ids) await remove(id);
    // What is written now is newer than the removal.
    await current();
    const { enqueuer } = treadle.platform;
    const filled = await done((await enqueuer.enqueue(backfillIndexJob, { index: 'knowledge' })).id);
    expect(filled.result).toEqual({ written: 2, stale: 0, failed: 0 });
    expect(await count()).toBe(2);
    await remove(ids[0] ?? '');
    await current();
    const one = { index: 'knowledge', workspaceId: ws, id: ids[0] ?? '' };
    expect((await done((await enqueuer.enqueue(syncDocument, one)).id)).result).toEqual({ written: 1, stale: 0 });
    expect(await count()).toBe(2);
  });

  it('end as dead letters for a document that is refused each time, and for no other', async () => {
    const bad = await world.write(ws, { title: 'Bad', content: 'Many words. '.repeat(5_000) });
    await world.write(ws, { title: 'Good' });
    await world.embed(ws);
    await current();
    const index = treadle.platform.indexes.get('knowledge');
    // A limit that somebody set: the index takes no such document any more.
    const live = (await index.states.read('knowledge'))?.live ?? '';
    const limit = (value: number | null) =>
      elasticsearch.call((client, options) =>
        client.indices.putSettings({ index: live, settings: { 'index.mapping.nested_objects.limit': value } }, options),
      );
    await limit(1);
    try {
      const { enqueuer } = treadle.platform;
      const payload = { index: 'knowledge', workspaceId: ws, id: bad };
      const { id } = await enqueuer.enqueue(syncDocument, payload, { attempts: 1 });
      const job = await treadle.platform.jobs.wait(id, 30_000);
      expect(job).toMatchObject({ state: 'dead', payload });
      // By the stream: kept as a job, and the sink goes on.
      await database.query(`UPDATE treadle.knowledge SET title = 'Bad again' WHERE id = $1`, [bad]);
      await world.write(ws, { title: 'With one chunk' });
      await current();
      expect(await count()).toBe(3);
      const jobs = () =>
        database.query(`SELECT FROM treadle.jobs WHERE name = 'search.sync-document' AND payload->>'id' = $1`, [bad]);
      await expect.poll(jobs, { timeout: 20_000 }).not.toHaveLength(0);
    } finally {
      await limit(null);
    }
  });

  it('and the commands do the same: verify says what differs by its exit code, rebuild makes another index', async () => {
    const id = await world.write(ws, { title: 'By hand' });
    await current();
    const run = (args: readonly string[]) => runTreadle(args, { env: { ...env, DATABASE_URL: database.url } });
    expect(await run(['verify'])).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringContaining('equals its tables'),
    });
    await remove(id);
    const differs = await run(['verify', '--json']);
    expect(differs.exitCode).toBe(1);
    expect(JSON.parse(differs.stdout)).toMatchObject({
      missing: 1,
      repaired: 0,
      found: [{ id, difference: 'missing' }],
    });
    const repaired = await run(['verify', '--repair']);
    expect(repaired.stdout).toContain('1 were written again');
    expect((await run(['verify'])).exitCode).toBe(0);
    const rebuilt = await run(['rebuild', '--json']);
    expect(rebuilt.exitCode).toBe(0);
    expect(JSON.parse(rebuilt.stdout)).toMatchObject({ documents: 1, failed: 0, repaired: 0 });
  });

  it('build it anew when somebody deleted it and nobody writes: the next verification finds that out', async () => {
    await world.write(ws, { title: 'Only one' });
    await current();
    const { states } = treadle.platform.indexes.get('knowledge');
    const live = (await states.read('knowledge'))?.live ?? '';
    await elasticsearch.call((client, options) => client.indices.delete({ index: live }, options));
    await treadle.platform.enqueuer.enqueue(verifyIndexJob, { index: 'knowledge' });
    await expect.poll(async () => (await states.read('knowledge'))?.live ?? live, { timeout: 50_000 }).not.toBe(live);
    expect(await count()).toBe(1);
  });
});
