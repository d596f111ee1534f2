import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { BulkWriter } from '../../../src/domain/search/indexes/bulk-writer.ts';
import { tombstone } from '../../../src/domain/search/indexes/index-document.ts';
import { KnowledgeIndex } from '../../../src/domain/search/elasticsearch/knowledge-index.ts';
import { readDocuments } from '../../../src/domain/search/elasticsearch/read-documents.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';
import { SearchWorld } from './search-world.ts';

const model = new LocalEmbedder();
const another = { model: 'another', dimensions: 16 };

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] the index of Elasticsearch', () => {
  const database = useDatabase();
  const searched = useIndex(database, model);
  const { elasticsearch, index, prefix } = searched;
  const world = new SearchWorld(database, { searched });
  let ws = '';
  beforeAll(async () => {
    ws = await world.workspace();
  });

  const indexOf = (name: string, of: { model: string; dimensions: number } = model): KnowledgeIndex =>
    new KnowledgeIndex({ elasticsearch, db: database.postgres, model: of, prefix: `${prefix}${name}-` });
  const found = async (query: string, workspaceId = ws): Promise<string[]> => {
    await index.refresh();
    const { hits } = await world.search.search({ workspaceId, query, mode: 'keyword', limit: 100 });
    return hits.map((hit) => hit.id);
  };

  describe('is made', () => {
    it('once by all processes that start together, and then is there', async () => {
      const states = await Promise.all(Array.from({ length: 4 }, () => indexOf('together').initializeIndices()));
      const { index: name } = indexOf('together').definition.names;
      expect(states.filter(({ state }) => state === 'created')).toEqual([{ state: 'created', index: name }]);
      expect(states.filter(({ state }) => state === 'ready')).toHaveLength(3);
      expect(await indexOf('together').initializeIndices()).toEqual({ state: 'ready', index: name });
    });

    it('of one definition, when processes of two start together, and the others are told', async () => {
      const states = await Promise.all([
        indexOf('two').initializeIndices(),
        indexOf('two', another).initializeIndices(),
      ]);
      const [made, told] = states.toSorted((a, b) => (a.state < b.state ? -1 : 1));
      expect(made).toMatchObject({ state: 'created' });
      expect(told).toMatchObject({ state: 'needs-rebuild', live: made?.index });
    });

    it('never over one of another definition: that a rebuild is due is said, and searches go on', async () => {
      const id = await world.write(ws, { title: 'Settled badger' });
      await index.indexKnowledge(ws, id);
      const changed = new KnowledgeIndex({ elasticsearch, db: database.postgres, model: another, prefix });
      const { index: live } = index.definition.names;
      expect(await changed.initializeIndices()).toEqual({
        state: 'needs-rebuild',
        index: changed.definition.names.index,
        live,
      });
      expect(changed.definition.names.index).not.toBe(live);
      expect(await found('badger')).toEqual([id]);
    });
  });

  describe('takes a document', () => {
    it('of its latest version, whatever comes late', async () => {
      const id = await world.write(ws, { title: 'First otter' });
      expect(await index.indexKnowledge(ws, id, { version: '9007199254740993' })).toMatchObject({ written: 1 });
      await database.query(`UPDATE treadle.knowledge SET title = 'Second otter' WHERE id = $1`, [id]);
      expect(await index.indexKnowledge(ws, id, { version: '9007199254740992' })).toEqual({
        written: 0,
        stale: [id],
        failed: [],
      });
      expect(await found('first otter')).toEqual([id]);
      expect(await index.indexKnowledge(ws, id, { version: '9007199254740993' })).toMatchObject({ written: 1 });
      expect(await found('second otter')).toEqual([id]);
    });

    it('and never takes back one that was deleted, even when the server forgot its versions', async () => {
      const id = await world.write(ws, { title: 'Gone gopher' });
      await index.indexKnowledge(ws, id, { version: 5 });
      expect(await found('gopher')).toEqual([id]);
      expect(await index.deleteFromIndex(ws, [id], 7)).toMatchObject({ written: 1 });
      expect(await found('gopher')).toEqual([]);
      const { index: name } = index.definition.names;
      await elasticsearch.call((client, options) => client.indices.close({ index: name }, options));
      await elasticsearch.call((client, options) => client.indices.open({ index: name }, options));
      await elasticsearch.call((client, options) =>
        client.cluster.health({ index: name, wait_for_status: 'green' }, options),
      );
      expect(await index.indexKnowledge(ws, id, { version: 6 })).toMatchObject({ written: 0, stale: [id] });
      expect(await found('gopher')).toEqual([]);
    });

    it('out when Postgres does not have it any more, and none of another workspace', async () => {
      const other = await world.workspace();
      const id = await world.write(ws, { title: 'Passing heron' });
      await index.updateIndex(ws, [id]);
      await index.updateIndex(other, [id]);
      await index.deleteFromIndex(other, [id], 100);
      expect(await found('heron')).toEqual([id]);
      await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
      await index.updateIndex(ws, [id]);
      expect(await found('heron')).toEqual([]);
    });
  });

  describe('of a bulk', () => {
    const writer = new BulkWriter(elasticsearch, index.definition.names.alias);
    const operation = (id: string, more: { version?: string; document?: string } = {}) => ({
      id,
      indexId: `${ws}:${id}`,
      version: '1',
      document: tombstone({ workspaceId: ws, id }, '1'),
      ...more,
    });

    it('writes every document but the bad ones, which it names', async () => {
      const report = await writer.write([
        operation('good-1'),
        operation('unknown-field', { document: '{"id":"x","surprise":"secret words"}' }),
        operation('no-json', { document: 'secret words' }),
        operation('x'.repeat(513)),
        operation('too-high', { version: '9223372036854775808' }),
        operation('highest', { version: '9223372036854775807' }),
        operation('i'.repeat(512 - 37)),
      ]);
      expect(report.written).toBe(3);
      expect(report.failed.map(({ id }) => id).toSorted()).toEqual([
        'no-json',
        'too-high',
        'unknown-field',
        'x'.repeat(513),
      ]);
      for (const { error } of report.failed) {
        expect(error.retryable).toBe(false);
        expect(`${error.message} ${String(error.cause)} ${JSON.stringify(error)}`).not.toContain('secret');
      }
    });

    it('under way beside others tells of each refused document, whichever ends first', async () => {
      const count = 1_500;
      const writes = Array.from({ length: count }, (_, place) => {
        const key = { workspaceId: ws, id: randomUUID() };
        const odd = place % 100 === 0 ? ',"unknown":1' : '';
        const json = `{"id":"${key.id}","workspace_id":"${ws}","title":"Lane"${odd}}`;
        return { ...key, document: { ...key, json, hash: String(place) }, version: '1' };
      });
      const { written, failed } = await index.index.writer.write([index.definition.names.alias], writes);
      expect(written).toBe(count - 15);
      expect(failed.map(({ id }) => id).toSorted()).toEqual(
        writes.flatMap(({ id }, place) => (place % 100 === 0 ? [id] : [])).toSorted(),
      );
    });

    it('is refused as a whole by a full disk, which is no fault of its documents and of which it is said that no pause helps', async () => {
      const { index: name } = index.definition.names;
      const block = (value: boolean | null) =>
        elasticsearch.call((client, options) =>
          client.indices.putSettings(
            { index: name, settings: { 'index.blocks.read_only_allow_delete': value } },
            options,
          ),
        );
      await block(true);
      try {
        await expect(writer.write([operation('while-full')])).rejects.toMatchObject({
          code: 'SERVICE_UNAVAILABLE',
          retryable: false,
        });
      } finally {
        await block(null);
      }
    });
  });

  describe('of a workspace', () => {
    it('is written anew while it is searched, and ends as Postgres has it', async () => {
      const own = await world.workspace();
      const ids: string[] = [];
      for (let each = 0; each < 30; each += 1) ids.push(await world.write(own, { title: `Lemming ${each}` }));
      expect(await index.reindexWorkspace(own)).toMatchObject({ written: 30, removed: 0, stale: [], failed: [] });
      await database.query('DELETE FROM treadle.knowledge WHERE id = ANY ($1)', [ids.slice(0, 3)]);
      await database.query(`UPDATE treadle.knowledge SET title = 'Vole' WHERE id = $1`, [ids[3]]);
      const done = new AbortController();
      const totals: number[] = [];
      const searching = (async () => {
        while (!done.signal.aborted)
          totals.push((await world.search.search({ workspaceId: own, mode: 'keyword' })).total);
      })();
      expect(await index.reindexWorkspace(own)).toMatchObject({ written: 27, removed: 3 });
      done.abort();
      await searching;
      expect(Math.min(...totals)).toBeGreaterThanOrEqual(27);
      await index.refresh();
      // Tombstones are in no listing.
      expect((await world.search.search({ workspaceId: own, mode: 'keyword' })).total).toBe(27);
      expect((await found('vole', own)).concat(await found('lemming', own)).toSorted()).toEqual(
        ids.slice(3).toSorted(),
      );
    });

    it('is read in pages of a few megabytes', async () => {
      const own = await world.workspace();
      await database.query(
        `INSERT INTO treadle.knowledge (workspace_id, title, content)
         SELECT $1, 'Heavy ' || i, repeat('heavy words ', 350000) FROM generate_series(1, 3) AS i`,
        [own],
      );
      const first = await readDocuments(database.postgres, model, { workspaceId: own });
      expect(first).toHaveLength(2);
      const rest = await readDocuments(database.postgres, model, { workspaceId: own, after: first.at(-1)?.id });
      expect(rest).toHaveLength(1);
    });
  });

  it('that somebody deleted is told, and not made by a write', async () => {
    const lost = indexOf('lost');
    await lost.initializeIndices();
    await elasticsearch.call((client, options) =>
      client.indices.delete({ index: lost.definition.names.index }, options),
    );
    const id = await world.write(ws, { title: 'Lost lynx' });
    const told = { code: 'SERVICE_UNAVAILABLE', retryable: false, message: expect.stringContaining('does not exist') };
    await expect(lost.indexKnowledge(ws, id)).rejects.toMatchObject(told);
    await expect(lost.deleteFromIndex(ws, [randomUUID()], 1)).rejects.toMatchObject(told);
    const { search } = new SearchWorld(database, { searched: { ...searched, index: lost } });
    await expect(search.search({ workspaceId: ws, query: 'lynx', mode: 'keyword' })).rejects.toMatchObject(told);
    expect(await lost.initializeIndices()).toMatchObject({ state: 'created' });
  });
});
