import { describe, expect, test } from 'vitest';
import type { CreateKnowledgeInput } from '../../../src/domain/knowledge/input.ts';
import { faultsAt, unknownId } from './faults-at.ts';
import { useKnowledge } from './use-knowledge.ts';

const on = useKnowledge();

describe('creating', () => {
  test('a document has its defaults, is found again, and has its first version', async () => {
    const made = await on.knowledge.create(on.here, { title: '  Looms ' }, { actor: 'ada', changeSummary: 'begun' });
    expect(made).toMatchObject({
      workspaceId: on.here,
      title: 'Looms',
      content: '',
      contentDelta: null,
      contentType: 'text/markdown',
      excerpt: '',
      status: 'draft',
      author: null,
      collection: null,
      tags: [],
      metadata: {},
      sourceId: null,
      version: 1,
    });
    expect(await on.knowledge.findById(on.here, made.id)).toEqual(made);
    const versions = await on.knowledge.versions(on.here, made.id);
    expect(versions.items).toMatchObject([{ versionNumber: 1, title: 'Looms', actor: 'ada', changeSummary: 'begun' }]);
  });

  test('author, collection and tags are joined, and no more of the author than a name', async () => {
    const shelf = await on.collections.create(on.here, { name: 'Shelf' });
    const made = await on.knowledge.create(on.here, {
      title: 'Joined',
      author: 'Ada Lovelace <ada@example.org>',
      collectionId: shelf.id,
      tags: ['b', ' a ', 'b', 'Ä'],
      metadata: { nested: { list: [1, null, 'x'] } },
      contentDelta: [{ insert: 'x' }],
    });
    expect(made.author).toEqual({ id: expect.any(String), name: 'Ada Lovelace' });
    expect(made.collection).toEqual({ id: shelf.id, name: 'Shelf' });
    expect(made.tags.toSorted()).toEqual(['a', 'b', 'Ä']);
    expect(made.metadata).toEqual({ nested: { list: [1, null, 'x'] } });
    expect(made.contentDelta).toEqual([{ insert: 'x' }]);
    const again = await on.knowledge.create(on.here, { title: 'Again', authorId: made.author?.id ?? '', tags: ['a'] });
    expect(again.author).toEqual(made.author);
    const tags = await on.tags.findMany(on.here);
    expect(tags.items.map(({ name, documents }) => [name, documents])).toEqual(
      expect.arrayContaining([
        ['a', 2],
        ['b', 1],
      ]),
    );
    expect((await on.collections.findMany(on.here)).items).toMatchObject([{ name: 'Shelf', documents: 1 }]);
  });

  test('fifty at once with the same new tags and author make each of them once', async () => {
    const workspace = await on.newWorkspace();
    const tags = Array.from({ length: 10 }, (_, n) => `tag-${n}`);
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        on.knowledge.create(workspace, { title: `n${n}`, author: 'Ada', tags: n % 2 ? tags : tags.toReversed() }),
      ),
    );
    const found = await on.knowledge.findMany(workspace, { tags }, { limit: 100 });
    expect(found).toHaveLength(50);
    expect(new Set(found.map(({ author }) => author?.id)).size).toBe(1);
    expect((await on.tags.findMany(workspace)).items.map(({ documents }) => documents)).toEqual(Array(10).fill(50));
  });

  test('in the caller’s transaction it exists if and only if that commits', async () => {
    const workspace = await on.newWorkspace();
    await expect(
      on.database.postgres.transaction(async (tx) => {
        const made = await on.knowledge.create(workspace, { title: 'Gone', tags: ['gone'] }, { tx, actor: 'ada' });
        await on.knowledge.update(workspace, made.id, { content: 'more' }, { tx });
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await on.knowledge.count(workspace)).toBe(0);
    expect((await on.tags.findMany(workspace)).items).toEqual([]);
    expect(await on.database.query('SELECT FROM treadle.events WHERE workspace_id = $1', [workspace])).toEqual([]);
  });

  test.each<[string, object, string[]]>([
    ['nothing', {}, ['title']],
    ['an empty title', { title: ' ' }, ['title']],
    ['a title of two lines', { title: 'a\nb' }, ['title']],
    ['a long title', { title: 'x'.repeat(501) }, ['title']],
    ['NUL and half a surrogate pair', { title: 'a\0b', content: '\ud800' }, ['title', 'content']],
    [
      'a long excerpt, an unknown status',
      { title: 'a', excerpt: 'x'.repeat(2_001), status: 'gone' },
      ['excerpt', 'status'],
    ],
    ['a huge content', { title: 'a', content: 'ä'.repeat(4_194_305) }, ['content']],
    ['NUL in a tag', { title: 'a', tags: ['ok', 'a\0'] }, ['tags[1]']],
    ['an empty tag', { title: 'a', tags: [''] }, ['tags[0]']],
    ['tags that are no list', { title: 'a', tags: 'x' }, ['tags']],
    ['too many tags', { title: 'a', tags: Array(101).fill('x') }, ['tags']],
    [
      'half a surrogate pair deep in metadata',
      { title: 'a', metadata: { b: ['x', { c: '\udc00' }] } },
      ['metadata.b[1].c'],
    ],
    ['NUL in a name of metadata', { title: 'a', metadata: { 'a\0': 1 } }, ['metadata']],
    ['what is no number', { title: 'a', metadata: { a: Number.NaN } }, ['metadata.a']],
    ['huge metadata', { title: 'a', metadata: { a: 'x'.repeat(131_072) } }, ['metadata']],
    ['metadata that are no object', { title: 'a', metadata: [] }, ['metadata']],
    ['an author id that is none', { title: 'a', authorId: 'ada' }, ['authorId']],
    ['two authors', { title: 'a', authorId: unknownId, author: 'Ada' }, ['authorId']],
    ['an email that is none', { title: 'a', author: { name: 'Ada', email: 'x' } }, ['author.email']],
    ['what is no media type', { title: 'a', contentType: 'markdown' }, ['contentType']],
    ['an empty source id', { title: 'a', sourceId: '' }, ['sourceId']],
    ['a field that is not its writer’s', { title: 'a', version: 7 }, ['version']],
    ['an unknown author', { title: 'a', tags: ['new'], authorId: unknownId }, ['authorId']],
    ['an unknown collection', { title: 'a', tags: ['new'], collectionId: unknownId }, ['collectionId']],
  ])('refuses %s by naming the field, and writes nothing', async (_, input, paths) => {
    const workspace = await on.newWorkspace();
    await expect(on.knowledge.create(workspace, input as CreateKnowledgeInput)).rejects.toMatchObject(
      faultsAt(...paths),
    );
    expect(await on.knowledge.count(workspace)).toBe(0);
    expect((await on.tags.findMany(workspace)).items).toEqual([]);
  });

  test('refuses an actor that Postgres cannot keep', async () => {
    await expect(on.knowledge.create(on.here, { title: 'a' }, { actor: 'a\0' })).rejects.toMatchObject(
      faultsAt('actor'),
    );
  });

  test('an unknown workspace is not found', async () => {
    for (const workspace of [unknownId, 'nowhere']) {
      const missing = { code: 'NOT_FOUND', details: { entity: 'workspace' } };
      await expect(on.knowledge.create(workspace, { title: 'a' })).rejects.toMatchObject(missing);
      await expect(on.knowledge.create(workspace, { title: 'a', tags: ['b'] })).rejects.toMatchObject(missing);
      await expect(on.knowledge.create(workspace, { title: 'a', author: 'Ada' })).rejects.toMatchObject(missing);
      await expect(on.collections.create(workspace, { name: 'a' })).rejects.toMatchObject(missing);
      await expect(on.knowledge.upsertMany(workspace, [{ sourceId: 'a', title: 'a' }])).rejects.toMatchObject(missing);
    }
  });

  test('a source id is unique in its workspace', async () => {
    await on.knowledge.create(on.here, { title: 'a', sourceId: 'same' });
    await on.knowledge.create(on.there, { title: 'a', sourceId: 'same' });
    await expect(on.knowledge.create(on.here, { title: 'b', sourceId: 'same' })).rejects.toMatchObject({
      code: 'DATA_CONSISTENCY_ERROR',
      details: { entity: 'knowledge', entityId: 'same' },
    });
  });
});

test('a collection’s name is unique in its workspace', async () => {
  await on.collections.create(on.here, { name: 'Unique' });
  await on.collections.create(on.there, { name: 'Unique' });
  await expect(on.collections.create(on.here, { name: ' Unique ' })).rejects.toMatchObject({
    code: 'DATA_CONSISTENCY_ERROR',
  });
  await expect(on.collections.create(on.here, { name: '' })).rejects.toMatchObject(faultsAt('name'));
});
