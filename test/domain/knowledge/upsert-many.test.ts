import { beforeAll, beforeEach, expect, test } from 'vitest';
import type { UpsertDocument } from '../../../src/domain/knowledge/input.ts';
import { CollectionService } from '../../../src/domain/knowledge/collection-service.ts';
import { KnowledgeService } from '../../../src/domain/knowledge/service.ts';
import { TagService } from '../../../src/domain/knowledge/tag-service.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
let knowledge: KnowledgeService;
let workspace: string;
const services = () => ({ postgres: database.postgres, log: createLog({ level: 'silent' }) });
beforeAll(() => {
  knowledge = new KnowledgeService(services());
});
beforeEach(async () => {
  workspace = (await new WorkspaceService(services()).create({ name: `w${Math.random().toString(36).slice(2)}` })).id;
});

const documents = (count: number, change: (n: number) => Partial<UpsertDocument> = () => ({})): UpsertDocument[] =>
  Array.from({ length: count }, (_, n) => ({
    sourceId: `source-${n}`,
    title: `Title ${n}`,
    content: `Content of ${n}`,
    tags: ['all', `group ${n % 7}`],
    author: `Author ${n % 5}`,
    metadata: { n },
    ...change(n),
  }));
const traces = async (): Promise<{ versions: number; events: number; jobs: number }> => {
  const [row] = await database.query<{ versions: number; events: number; jobs: number }>(
    `SELECT (SELECT count(*)::integer FROM treadle.knowledge_versions WHERE workspace_id = $1) AS versions,
       (SELECT count(*)::integer FROM treadle.events WHERE workspace_id = $1 AND type LIKE 'knowledge.%') AS events,
       (SELECT count(*)::integer FROM treadle.jobs WHERE tenant = $1::text) AS jobs`,
    [workspace],
  );
  return row ?? { versions: -1, events: -1, jobs: -1 };
};
const bySource = async (sourceId: string) => (await knowledge.findMany(workspace, { sourceId }))[0];

test('an import inserts, the same import again leaves everything alone, and a changed one updates what differs', async () => {
  const given = documents(1_200);
  expect(await knowledge.upsertMany(workspace, given, { actor: 'import' })).toEqual({
    inserted: 1_200,
    updated: 0,
    unchanged: 0,
  });
  expect(await traces()).toEqual({ versions: 1_200, events: 1_200, jobs: 1_200 });
  expect(await bySource('source-8')).toMatchObject({
    title: 'Title 8',
    content: 'Content of 8',
    status: 'published',
    author: { name: 'Author 3' },
    tags: ['all', 'group 1'],
    metadata: { n: 8 },
    version: 1,
  });
  const before = await bySource('source-8');
  expect(await knowledge.upsertMany(workspace, given.toReversed())).toEqual({
    inserted: 0,
    updated: 0,
    unchanged: 1_200,
  });
  expect(await bySource('source-8')).toEqual(before);
  expect(await traces()).toEqual({ versions: 1_200, events: 1_200, jobs: 1_200 });
  const changed = documents(1_201, (n) => (n === 3 ? { content: 'New' } : n === 4 ? { tags: ['all'] } : {}));
  expect(await knowledge.upsertMany(workspace, changed)).toEqual({ inserted: 1, updated: 2, unchanged: 1_198 });
  expect(await traces()).toMatchObject({ versions: 1_203, events: 1_203 });
  expect(await bySource('source-4')).toMatchObject({ tags: ['all'], version: 2 });
  const actors = await database.query(
    `SELECT DISTINCT actor FROM treadle.events WHERE workspace_id = $1 AND type = 'knowledge.created' AND version = 1 ORDER BY actor`,
    [workspace],
  );
  expect(actors).toEqual([{ actor: 'import' }, { actor: null }]);
});

test('author, status and collection stay when the source does not name them; the rest is as the source says', async () => {
  const shelf = await new CollectionService(services()).create(workspace, { name: 'Shelf' });
  await knowledge.upsertMany(workspace, [
    {
      sourceId: 's',
      title: 'T',
      excerpt: 'E',
      author: 'Ada',
      status: 'archived',
      tags: ['x'],
      collectionId: shelf.id,
      metadata: { a: 1 },
    },
  ]);
  const document = await bySource('s');
  await knowledge.update(workspace, document?.id ?? '', { contentDelta: { ops: [] } });
  await knowledge.upsertMany(workspace, [{ sourceId: 's', title: 'T', content: 'C' }]);
  expect(await bySource('s')).toMatchObject({
    author: { name: 'Ada' },
    status: 'archived',
    collection: { name: 'Shelf' },
    content: 'C',
    contentDelta: null,
    excerpt: '',
    tags: [],
    metadata: {},
    version: 3,
  });
});

test('a source id given twice is written in the order given', async () => {
  const twice = [
    { sourceId: 'a', title: 'First' },
    { sourceId: 'b', title: 'Other' },
    { sourceId: 'a', title: 'Second' },
    { sourceId: 'a', title: 'Second' },
  ];
  expect(await knowledge.upsertMany(workspace, twice)).toEqual({ inserted: 2, updated: 1, unchanged: 1 });
  expect(await bySource('a')).toMatchObject({ title: 'Second', version: 2 });
});

test('one faulty document refuses all, each fault with its index', async () => {
  const given = documents(50, (n) => (n === 7 ? { title: 'a\0b' } : n === 9 ? { metadata: { deep: ['\ud800'] } } : {}));
  await expect(knowledge.upsertMany(workspace, given)).rejects.toMatchObject({
    code: 'VALIDATION_ERROR',
    details: {
      faults: [
        expect.objectContaining({ path: 'documents[7].title', index: 7 }),
        expect.objectContaining({ path: 'documents[9].metadata.deep[0]', index: 9 }),
      ],
    },
  });
  await expect(
    knowledge.upsertMany(
      workspace,
      documents(600, (n) => (n === 599 ? { collectionId: '0196f0aa-0000-7000-8000-000000000000' } : {})),
    ),
  ).rejects.toMatchObject({ details: { faults: [{ path: 'collectionId' }] } });
  expect(await traces()).toEqual({ versions: 0, events: 0, jobs: 0 });
  expect((await new TagService(services()).findMany(workspace)).items).toEqual([]);
  expect(await knowledge.upsertMany(workspace, [])).toEqual({ inserted: 0, updated: 0, unchanged: 0 });
});

test('imports of the same documents at once write each of them once', async () => {
  const given = documents(700);
  const counts = await Promise.all(
    Array.from({ length: 4 }, (_, n) => knowledge.upsertMany(workspace, n % 2 ? given : given.toReversed())),
  );
  expect(counts.reduce((sum, { inserted }) => sum + inserted, 0)).toBe(700);
  expect(counts.reduce((sum, { unchanged }) => sum + unchanged, 0)).toBe(2_100);
  expect(await traces()).toEqual({ versions: 700, events: 700, jobs: 700 });
});

test('writers that change the same documents in other orders, and make the same tags and authors, never wait in a circle', async () => {
  const given = documents(600);
  await knowledge.upsertMany(workspace, given);
  const { retried = 0 } = database.postgres.getStats().get('knowledge.upsert-many') ?? {};
  const writers = Array.from({ length: 4 }, (_, n) => {
    const own = documents(600, (index) => ({
      content: `Content ${index} of ${n}`,
      tags: [`new ${index % 50}`, `own ${n}`],
      author: { name: `N ${index % 40}`, email: `n${index % 40}@example.org` },
    }));
    return n % 2 ? own : own.toReversed();
  });
  const counts = await Promise.all(writers.map((own) => knowledge.upsertMany(workspace, own)));
  expect(counts).toEqual(writers.map(() => ({ inserted: 0, updated: 600, unchanged: 0 })));
  expect(database.postgres.getStats().get('knowledge.upsert-many')?.retried).toBe(retried);
  expect(await traces()).toMatchObject({ versions: 3_000 });
});

test("any connection's own transaction takes many documents, more than once", async () => {
  const client = await database.postgres.connectDirect('own');
  const tx = { query: client.query.bind(client) };
  await client.query('BEGIN');
  const count = async (given: readonly UpsertDocument[]) =>
    knowledge.upsertMany(workspace, given, { tx, actor: 'own' });
  expect(await count(documents(450))).toEqual({ inserted: 450, updated: 0, unchanged: 0 });
  expect(await count(documents(500, (n) => (n < 10 ? { tags: ['less'] } : {})))).toEqual({
    inserted: 50,
    updated: 10,
    unchanged: 440,
  });
  await client.query('COMMIT');
  await client.end();
  expect(await bySource('source-3')).toMatchObject({ tags: ['less'], author: { name: 'Author 3' }, version: 2 });
  expect(await traces()).toEqual({ versions: 510, events: 510, jobs: 500 });
});

test('documents of a workspace newer than the statistics are found by their index, not among all others', async () => {
  const others = (await new WorkspaceService(services()).create({ name: `w${Math.random().toString(36).slice(2)}` }))
    .id;
  await knowledge.upsertMany(others, documents(800));
  await database.query('ANALYZE');
  await knowledge.upsertMany(workspace, documents(800));
  const read = await database.postgres.transaction(async (tx) => {
    await knowledge.upsertMany(
      workspace,
      documents(800, (n) => ({ sourceId: `more-${n}` })),
      { tx },
    );
    const { rows } = await tx.query<{ name: string; read: number }>(
      `SELECT relname AS name, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::integer AS read
       FROM pg_stat_xact_user_tables WHERE schemaname = 'treadle' AND relname IN ('knowledge', 'knowledge_tags', 'search_documents')`,
    );
    return rows;
  });
  // Of each document its own row, as it is written, linked and indexed, and its links; a table may be read as a whole a
  // few times, but not for each document.
  expect(read).toHaveLength(3);
  expect(read.filter(({ read: tuples }) => tuples > 800 * 100)).toEqual([]);
});

test('an import keeps to its workspace', async () => {
  await knowledge.upsertMany(workspace, documents(5));
  const other = (await new WorkspaceService(services()).create({ name: `w${Math.random().toString(36).slice(2)}` })).id;
  expect(
    await knowledge.upsertMany(
      other,
      documents(5, () => ({ title: 'Other' })),
    ),
  ).toMatchObject({ inserted: 5 });
  expect(await bySource('source-1')).toMatchObject({ title: 'Title 1', version: 1 });
});
