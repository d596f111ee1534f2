import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { ElasticsearchSearch } from '../../../src/domain/search/elasticsearch/elasticsearch-search.ts';
import { KnowledgeIndex } from '../../../src/domain/search/elasticsearch/knowledge-index.ts';
import { IndexCurrency } from '../../../src/domain/search/index-currency.ts';
import { withIndexLock } from '../../../src/domain/search/indexes/index-lock.ts';
import { liveIndex } from '../../../src/domain/search/indexes/initialize-indices.ts';
import { PostgresSearch } from '../../../src/domain/search/postgres/postgres-search.ts';
import { SearchService } from '../../../src/domain/search/search-service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useElasticsearch } from '../../services/elasticsearch.ts';
import { expectEqual, FollowedIndex } from './followed-index.ts';
import { SearchWorld } from './search-world.ts';

/** REBUILD_DOCUMENTS=100000 for the size of an installation. */
const size = Number(process.env['REBUILD_DOCUMENTS'] ?? 2_000);
const patience = { timeout: 60_000 + size * 5 };

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] a rebuild', patience, () => {
  const database = useDatabase();
  const { elasticsearch, prefix } = useElasticsearch();
  const log = createLog({ level: 'silent' });
  const embedder = new LocalEmbedder();
  const world = new SearchWorld(database);
  let ws = '';
  let installations = 0;
  let own = '';
  let knowledge: KnowledgeIndex;
  let followed: FollowedIndex;

  const indexOf = (model: { model: string; dimensions: number }): KnowledgeIndex =>
    new KnowledgeIndex({ elasticsearch, db: database.postgres, model, prefix: own });
  /** As a process of this version searches. */
  const searchOf = ({ index, definition }: KnowledgeIndex, model = embedder): SearchService => {
    const currency = new IndexCurrency(index, log);
    return new SearchService({
      postgres: database.postgres,
      backend: new ElasticsearchSearch({ elasticsearch, definition, model }),
      fallback: new PostgresSearch(database.postgres),
      isCurrent: () => currency.isCurrent(),
      embedder: world.embeddings,
      log,
    });
  };
  const find = (search: SearchService, query = '') => search.search({ workspaceId: ws, query, mode: 'keyword' });
  const indices = async (): Promise<string[]> =>
    Object.keys(await elasticsearch.call((client, options) => client.indices.get({ index: `${own}*` }, options)));

  beforeEach(async () => {
    installations += 1;
    own = `${prefix}${installations}-`;
    ws = await world.workspace();
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title, content)
       SELECT $1, 'Document ' || n, 'about the number ' || n FROM generate_series(1, $2::int) AS n`,
      [ws, size],
    );
    knowledge = indexOf(embedder);
    followed = new FollowedIndex(database.postgres, knowledge.index);
    await followed.start();
  });
  afterEach(async () => {
    await followed.close();
    await database.query(`DELETE FROM treadle.workspaces WHERE name LIKE 'w-%'`);
    await database.query(`TRUNCATE treadle.search_indexes, treadle.change_sinks, treadle.change_backlog`);
  });

  it('is asked for where there is no index yet, and makes the first: Postgres answers until then', async () => {
    expect(followed.rebuilds).toEqual(['it was not built yet']);
    expect(await find(searchOf(knowledge))).toMatchObject({ total: size, backend: 'postgres', degraded: true });
    const notes: number[] = [];
    const rebuilt = await followed.rebuild({ onProgress: (fraction) => notes.push(fraction) });
    expect(rebuilt).toMatchObject({ documents: size, failed: 0, repaired: 0 });
    expect(notes).toEqual(notes.toSorted((a, b) => a - b));
    await expectEqual(followed, size);
    await knowledge.refresh();
    await expect
      .poll(() => find(searchOf(knowledge)), { timeout: 10_000 })
      .toMatchObject({ total: size, backend: 'elasticsearch', degraded: false });
    expect(await indices()).toEqual([rebuilt.index]);
  });

  it('is due after the definition has changed: Postgres answers, marked degraded, until there is one of the new', async () => {
    const before = await followed.rebuild();
    await followed.close();
    const changed = indexOf({ model: 'another', dimensions: 16 });
    const search = searchOf(changed);
    followed = new FollowedIndex(database.postgres, changed.index);
    expect(await changed.initializeIndices()).toMatchObject({ state: 'needs-rebuild', live: before.index });
    await followed.start();
    expect(await find(search)).toMatchObject({ total: size, backend: 'postgres', degraded: true });
    // What is written meanwhile is not written to an index of another definition.
    await world.write(ws, { title: 'Written between' });
    const after = await followed.rebuild({ reason: 'another model' });
    expect(after.index).not.toBe(before.index);
    await expectEqual(followed, size + 1);
    await changed.refresh();
    await expect
      .poll(() => find(search), { timeout: 10_000 })
      .toMatchObject({ total: size + 1, backend: 'elasticsearch', degraded: false });
    expect(await indices()).toEqual([after.index]);
  });

  it('under constant writes and searches loses nothing, and no search sees fewer documents than before', async () => {
    await followed.rebuild();
    await knowledge.refresh();
    const backend = new ElasticsearchSearch({ elasticsearch, definition: knowledge.definition, model: embedder });
    const over = new AbortController();
    const totals: number[] = [];
    const searching = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const asked = { workspaceId: ws, filters: {}, sort: 'newest', limit: 1, offset: 0 } as const;
        totals.push((await backend.search({ ...asked, rankedBy: { kind: 'listing' } })).total);
      }
    };
    const ids = await database.query<{ id: string }>('SELECT id FROM treadle.knowledge WHERE workspace_id = $1', [ws]);
    let written = 0;
    const writing = async (): Promise<void> => {
      for (let turn = 0; !over.signal.aborted; turn += 1) {
        written += 1;
        await world.write(ws, { title: `Written ${turn}`, tags: [`t${turn % 5}`] });
        await database.query(`UPDATE treadle.knowledge SET content = $2 WHERE id = $1`, [
          ids[(turn * 37) % ids.length]?.id,
          `changed ${turn}`,
        ]);
        await delay(5);
        if (turn % 20 === 0) {
          await database.query(
            `UPDATE treadle.tags SET name = left(name, 2) || gen_random_uuid() WHERE workspace_id = $1 AND name LIKE 't1%'`,
            [ws],
          );
        }
      }
    };
    const busy = Promise.all([searching(), writing()]);
    const first = await liveIndex(elasticsearch, knowledge.definition.names.alias);
    const rebuilt = await followed.rebuild().finally(() => over.abort());
    await busy;
    expect(rebuilt.index).not.toBe(first);
    expect(totals.length).toBeGreaterThan(10);
    expect(totals).toEqual(totals.toSorted((a, b) => a - b));
    expect(totals[0]).toBeGreaterThanOrEqual(size);
    await followed.current();
    await expectEqual(followed, size + written);
    expect(await indices()).toEqual([rebuilt.index]);
  });

  it('that was interrupted goes on behind the last document that it wrote', async () => {
    const stop = new AbortController();
    const interrupted = followed.rebuild({
      signal: stop.signal,
      onProgress: (_, note) => {
        if (/^[1-9]\d* of/.test(note)) stop.abort();
      },
    });
    await expect(interrupted).rejects.toMatchObject({ name: expect.stringMatching(/Abort|AppError/) });
    const record = await knowledge.index.states.read('knowledge');
    expect(record).toMatchObject({ live: null, buildingCursor: { workspaceId: ws, id: expect.any(String) } });
    await world.write(ws, { title: 'Written between' });
    const [{ left } = { left: 0 }] = await database.query<{ left: number }>(
      'SELECT count(*)::int AS left FROM treadle.knowledge WHERE id > $1',
      [record?.buildingCursor?.id],
    );
    const written: string[] = [];
    const rebuilt = await followed.rebuild({ onProgress: (_, note) => written.push(note) });
    expect(rebuilt.index).toBe(record?.building);
    const last = written.filter((note) => note.endsWith('written')).at(-1);
    expect(Number(last?.split(' ')[0])).toBe(left);
    expect(left).toBeLessThan(size);
    await expectEqual(followed, size + 1);
  });

  /** What ends between two steps: the aliases are swapped, and Postgres does not know yet. */
  const swapUnnoted = async (): Promise<{ readonly before: string; readonly after: string }> => {
    const before = await followed.rebuild();
    const { states } = knowledge.index;
    const note = states.endBuilding.bind(states);
    states.endBuilding = () => Promise.reject(new Error('killed'));
    await expect(followed.rebuild()).rejects.toThrow('killed');
    states.endBuilding = note;
    const record = await states.read('knowledge');
    expect(record).toMatchObject({ live: before.index });
    const after = await liveIndex(elasticsearch, knowledge.definition.names.alias);
    expect(after).toBe(record?.building);
    return { before: before.index, after: after ?? '' };
  };

  it('that was killed after its swap is noted by the next write, which is not lost', async () => {
    const { after } = await swapUnnoted();
    await world.write(ws, { title: 'Written after the swap' });
    await followed.current();
    expect(await knowledge.index.states.read('knowledge')).toMatchObject({ live: after, building: null });
    await expectEqual(followed, size + 1);
  });

  it('that was killed after its swap is ended by its next attempt, and the old index goes', async () => {
    const { after } = await swapUnnoted();
    expect(await followed.rebuild()).toMatchObject({ index: after });
    expect(await knowledge.index.states.read('knowledge')).toMatchObject({ live: after, building: null });
    await expectEqual(followed, size);
    expect(await indices()).toEqual([after]);
  });

  it('has its index to itself: a second one does nothing until it has ended', async () => {
    let second: unknown = 'not asked';
    const first = await withIndexLock(database.postgres, 'knowledge', async () => {
      second = await withIndexLock(database.postgres, 'knowledge', () => followed.rebuild());
      return followed.rebuild();
    });
    expect(second).toBeUndefined();
    expect(first?.done).toMatchObject({ documents: size });
    expect(await withIndexLock(database.postgres, 'knowledge', () => Promise.resolve('mine'))).toEqual({
      done: 'mine',
    });
  });
});
