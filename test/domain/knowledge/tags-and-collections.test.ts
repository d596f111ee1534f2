import { Client } from 'pg';
import { expect, test } from 'vitest';
import { faultsAt, unknownId } from './faults-at.ts';
import { useKnowledge } from './use-knowledge.ts';

const on = useKnowledge();
const conflict = (entity: string) => ({ code: 'DATA_CONSISTENCY_ERROR', status: 409, details: { entity } });
const late = (entity: string, entityId: string) => ({
  ...conflict(entity),
  details: { entity, entityId, expected: 1, actual: 2 },
});
const missing = (entity: string, entityId: string) => ({ code: 'NOT_FOUND', details: { entity, entityId } });

/** Of several that delete at once the others find nothing left. */
const onlyOnce = async (entity: string, id: string, remove: () => Promise<void>): Promise<void> => {
  const settled = await Promise.allSettled(Array.from({ length: 5 }, remove));
  const refused = settled.filter((result) => result.status === 'rejected');
  expect(refused).toHaveLength(4);
  for (const { reason } of refused) expect(reason).toMatchObject(missing(entity, id));
};

test('a tag is made, renamed on all its documents, and deleted from them as a change of each', async () => {
  const workspace = await on.newWorkspace();
  const made = await on.tags.create(workspace, { name: ' looms ' }, { actor: 'ada' });
  expect(made).toMatchObject({ workspaceId: workspace, name: 'looms', documents: 0, revision: 1 });
  const document = await on.knowledge.create(workspace, { title: 'Tagged', tags: ['looms', 'other'] });
  const bare = await on.knowledge.create(workspace, { title: 'Bare', tags: ['other'] });
  const renamed = await on.tags.update(workspace, made.id, { name: 'weaving' }, { expectedRevision: 1, actor: 'bob' });
  expect(renamed).toMatchObject({ id: made.id, name: 'weaving', documents: 1, revision: 2 });
  expect(await on.tags.findById(workspace, made.id)).toEqual(renamed);
  expect(await on.tags.update(workspace, made.id, { name: 'weaving' })).toEqual(renamed);
  expect(await on.tags.update(workspace, made.id, {}, { expectedRevision: 2 })).toEqual(renamed);
  expect(await on.knowledge.findById(workspace, document.id)).toMatchObject({ tags: ['other', 'weaving'], version: 1 });

  await expect(on.tags.update(workspace, made.id, { name: 'other' })).rejects.toMatchObject({
    ...conflict('tag'),
    message: 'a tag named "other" exists already',
  });
  await expect(on.tags.create(workspace, { name: 'other' })).rejects.toMatchObject(conflict('tag'));
  await expect(on.tags.update(workspace, made.id, { name: 'x' }, { expectedRevision: 1 })).rejects.toMatchObject(
    late('tag', made.id),
  );
  await expect(on.tags.delete(workspace, made.id, { expectedRevision: 1 })).rejects.toMatchObject(late('tag', made.id));

  const change = { expectedRevision: 2, actor: 'eve', changeSummary: 'tidied' };
  await onlyOnce('tag', made.id, () => on.tags.delete(workspace, made.id, change));
  expect(await on.knowledge.findById(workspace, document.id)).toMatchObject({ tags: ['other'], version: 2 });
  expect((await on.knowledge.versions(workspace, document.id)).items[0]).toMatchObject({
    versionNumber: 2,
    actor: 'eve',
    changeSummary: 'tidied',
  });
  expect(await on.knowledge.findById(workspace, bare.id)).toEqual(bare);
  expect(await on.tags.count(workspace)).toBe(1);
  const searched = await on.database.query('SELECT tags FROM treadle.search_documents WHERE document_id = $1', [
    document.id,
  ]);
  expect(searched).toEqual([{ tags: ['other'] }]);
  const events = await on.database.query(
    `SELECT type, actor FROM treadle.events WHERE aggregate_id IN ($1, $2) ORDER BY seq`,
    [made.id, document.id],
  );
  expect(events).toEqual([
    { type: 'tag.created', actor: 'ada' },
    { type: 'knowledge.created', actor: null },
    { type: 'tag.updated', actor: 'bob' },
    { type: 'knowledge.updated', actor: 'eve' },
  ]);
});

test('a collection is made, changed and deleted, and its documents stay without one', async () => {
  const workspace = await on.newWorkspace();
  const made = await on.collections.create(workspace, { name: 'Shelf' });
  const other = await on.collections.create(workspace, { name: 'Other' });
  expect(made).toMatchObject({ name: 'Shelf', description: '', documents: 0, revision: 1 });
  const document = await on.knowledge.create(workspace, { title: 'Kept', collectionId: made.id });
  const changed = await on.collections.update(workspace, made.id, { description: 'Old' }, { expectedRevision: 1 });
  expect(changed).toMatchObject({ name: 'Shelf', description: 'Old', documents: 1, revision: 2 });
  expect(await on.collections.findById(workspace, made.id)).toEqual(changed);
  expect(await on.collections.update(workspace, made.id, { name: 'Shelf' })).toEqual(changed);
  await expect(on.collections.update(workspace, made.id, { name: 'Other' })).rejects.toMatchObject({
    ...conflict('collection'),
    message: 'a collection named "Other" exists already',
  });
  await expect(on.collections.update(workspace, made.id, { name: 'x' }, { expectedRevision: 1 })).rejects.toMatchObject(
    late('collection', made.id),
  );
  await expect(on.collections.delete(workspace, made.id, { expectedRevision: 1 })).rejects.toMatchObject(
    late('collection', made.id),
  );
  const change = { expectedRevision: 2, actor: 'eve' };
  await onlyOnce('collection', made.id, () => on.collections.delete(workspace, made.id, change));
  expect(await on.knowledge.findById(workspace, document.id)).toMatchObject({ collection: null, version: 2 });
  expect((await on.knowledge.versions(workspace, document.id)).items[0]).toMatchObject({
    actor: 'eve',
    changed: ['collection_id'],
  });
  expect((await on.collections.findMany(workspace)).items).toEqual([other]);
  expect(await on.collections.count(workspace)).toBe(1);
});

test('both are listed by name in pages, forwards and back', async () => {
  const workspace = await on.newWorkspace();
  for (const service of [on.tags, on.collections]) {
    for (const name of ['c', 'a', 'e', 'b', 'd']) await service.create(workspace, { name });
    const pages: string[] = [];
    let page = await service.findMany(workspace, { limit: 2 });
    for (;;) {
      pages.push(page.items.map(({ name }) => name).join(''));
      if (page.nextCursor === null) break;
      page = await service.findMany(workspace, { limit: 2, cursor: page.nextCursor });
    }
    expect(pages).toEqual(['ab', 'cd', 'e']);
    page = await service.findMany(workspace, { limit: 2, cursor: page.prevCursor ?? '' });
    expect(page.items.map(({ name }) => name)).toEqual(['c', 'd']);
    expect(await service.count(workspace)).toBe(5);
  }
});

test('of another workspace neither is there, nor under an id that is none', async () => {
  const tag = await on.tags.create(on.there, { name: 'theirs' });
  const shelf = await on.collections.create(on.there, { name: 'Theirs' });
  for (const [service, entity, id] of [
    [on.tags, 'tag', tag.id],
    [on.collections, 'collection', shelf.id],
    [on.tags, 'tag', 'x'],
    [on.collections, 'collection', '\0'],
  ] as const) {
    expect(await service.findById(on.here, id)).toBeUndefined();
    await expect(service.update(on.here, id, { name: 'Mine' })).rejects.toMatchObject(missing(entity, id));
    await expect(service.delete(on.here, id, { expectedRevision: 1 })).rejects.toMatchObject(missing(entity, id));
    for (const unknown of [unknownId, 'nowhere']) {
      const nowhere = missing('workspace', unknown);
      await expect(service.create(unknown, { name: 'x' })).rejects.toMatchObject(nowhere);
      expect(await service.count(unknown)).toBe(0);
    }
    await expect(service.findMany('nowhere')).rejects.toMatchObject(missing('workspace', 'nowhere'));
  }
  expect(await on.tags.findById(on.there, tag.id)).toEqual(tag);
  expect(await on.collections.findById(on.there, shelf.id)).toEqual(shelf);
});

test('everything can be part of a transaction of somebody else’s library', async () => {
  const workspace = await on.newWorkspace();
  const kept = await on.tags.create(workspace, { name: 'kept' });
  const client = new Client({ connectionString: on.database.url });
  await client.connect();
  try {
    await client.query('BEGIN');
    const context = { tx: client, actor: 'ada' };
    const shelf = await on.collections.create(workspace, { name: 'Shelf' }, context);
    const input = { title: 'a', tags: ['kept', 'new'], author: 'Ada', collectionId: shelf.id };
    const { id } = await on.knowledge.create(workspace, input, context);
    expect(await on.knowledge.update(workspace, id, { tags: ['kept'] }, context)).toMatchObject({ version: 2 });
    expect(await on.tags.update(workspace, kept.id, { name: 'renamed' }, context)).toMatchObject({ documents: 1 });
    expect(await on.collections.update(workspace, shelf.id, { name: 'x' }, context)).toMatchObject({ documents: 1 });
    await on.tags.delete(workspace, kept.id, context);
    await on.collections.delete(workspace, shelf.id, context);
    await on.knowledge.delete(workspace, id, { ...context, expectedVersion: 4 });
    await client.query('ROLLBACK');
  } finally {
    await client.end();
  }
  expect((await on.tags.findMany(workspace)).items).toEqual([kept]);
  expect((await on.collections.findMany(workspace)).items).toEqual([]);
});

test('whoever puts a tag on while it is deleted is told to try again, and whoever takes it off finds it gone', async () => {
  const workspace = await on.newWorkspace();
  const [tagged, bare, third] = await Promise.all(
    [['x'], [], ['x']].map((tags) => on.knowledge.create(workspace, { title: 'Looms', tags })),
  );
  const [tag] = (await on.tags.findMany(workspace)).items;
  const begun = await on.database.postgres.transaction(async (tx) => {
    await on.tags.delete(workspace, tag?.id ?? '', { tx });
    const putOn = on.knowledge.update(workspace, bare?.id ?? '', { tags: ['x'] });
    const takeOff = on.knowledge.update(workspace, tagged?.id ?? '', { tags: [] });
    await expect
      .poll(() =>
        on.database.query(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        ),
      )
      .toHaveLength(2);
    return {
      putOn: putOn.then(
        () => undefined,
        (error: unknown) => error,
      ),
      takeOff,
    };
  });
  expect(await begun.putOn).toMatchObject({ ...conflict('tag'), retryable: true });
  expect(await begun.takeOff).toMatchObject({ tags: [], version: 2 });
  expect(await on.knowledge.findById(workspace, bare?.id ?? '')).toMatchObject({ tags: [], version: 1 });
  expect(await on.knowledge.findById(workspace, third?.id ?? '')).toMatchObject({ tags: [], version: 2 });
});

const long = (length: number): string => 'x'.repeat(length);
test.each<[string, () => Promise<unknown>, string]>([
  ['a tag beyond its column', () => on.tags.create(on.here, { name: long(101) }), 'name'],
  ['NUL in a tag', () => on.tags.update(on.here, unknownId, { name: 'a\0' }), 'name'],
  ['an empty tag', () => on.tags.create(on.here, { name: ' ' }), 'name'],
  ['a field that a tag has not', () => on.tags.update(on.here, unknownId, { colour: 'red' } as object), 'colour'],
  [
    'a tag’s revision that is no number',
    () => on.tags.delete(on.here, unknownId, { expectedRevision: Number('abc') }),
    'expectedRevision',
  ],
  ['a collection beyond its column', () => on.collections.create(on.here, { name: long(201) }), 'name'],
  [
    'a description beyond its column',
    () => on.collections.update(on.here, unknownId, { description: long(2_001) }),
    'description',
  ],
  ['half a surrogate pair in a collection', () => on.collections.create(on.here, { name: '\ud800' }), 'name'],
  [
    'a collection’s revision of 0',
    () => on.collections.update(on.here, unknownId, {}, { expectedRevision: 0 }),
    'expectedRevision',
  ],
  [
    'a document’s version that is no number',
    () => on.knowledge.update(on.here, unknownId, {}, { expectedVersion: Number('abc') }),
    'expectedVersion',
  ],
  [
    'a document’s version of 1.5',
    () => on.knowledge.delete(on.here, unknownId, { expectedVersion: 1.5 }),
    'expectedVersion',
  ],
  ['an unknown filter', () => on.knowledge.findMany(on.here, { colour: 'red' } as object), 'colour'],
  ['an unknown filter of pages', () => on.knowledge.findByWorkspace(on.here, { title: 'x' } as object), 'title'],
  ['an unknown filter of a count', () => on.knowledge.count(on.here, { limit: 1 } as object), 'limit'],
  ['a source id beyond its column', () => on.knowledge.count(on.here, { sourceId: long(501) }), 'sourceId'],
])('refuses %s by naming the field', async (_, attempt, path) => {
  await expect(attempt()).rejects.toMatchObject(faultsAt(path));
});
