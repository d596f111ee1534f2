import { describe, expect, test } from 'vitest';
import { faultsAt, unknownId } from './faults-at.ts';
import { useKnowledge } from './use-knowledge.ts';

const on = useKnowledge();

describe('updating', () => {
  test('sets what is given, leaves the rest, and null takes away', async () => {
    const made = await on.knowledge.create(on.here, {
      title: 'Old',
      content: 'kept',
      author: 'Ada',
      tags: ['x', 'y'],
      contentDelta: 1,
    });
    const updated = await on.knowledge.update(
      on.here,
      made.id,
      { title: 'New', tags: ['y', 'z'], author: null, contentDelta: null, metadata: { a: 1 } },
      { expectedVersion: 1, actor: 'bob', changeSummary: 'renamed' },
    );
    expect(updated).toMatchObject({
      title: 'New',
      content: 'kept',
      tags: ['y', 'z'],
      author: null,
      contentDelta: null,
      version: 2,
    });
    expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(made.updatedAt.getTime());
    const { items } = await on.knowledge.versions(on.here, made.id);
    expect(items).toMatchObject([
      { versionNumber: 2, title: 'New', actor: 'bob', changeSummary: 'renamed', author: null },
      { versionNumber: 1, title: 'Old', actor: null, author: { name: 'Ada' } },
    ]);
  });

  test('a change of tags alone is a version; no change is none', async () => {
    const made = await on.knowledge.create(on.here, { title: 'Tagged', tags: ['x'] });
    expect(await on.knowledge.update(on.here, made.id, { tags: ['x'], title: 'Tagged' })).toEqual(made);
    expect(await on.knowledge.update(on.here, made.id, {})).toEqual(made);
    expect(await on.knowledge.update(on.here, made.id, { tags: [] })).toMatchObject({ version: 2, tags: [] });
    expect((await on.knowledge.versions(on.here, made.id)).items).toHaveLength(2);
  });

  test('of two hundred at once exactly one wins each version, the others are told, and nothing that won is lost', async () => {
    const made = await on.knowledge.create(on.here, { title: 'Contested', content: 'first' });
    const attempts = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const tried: { readonly expected: number; readonly content: string; readonly reason?: unknown }[] = [];
        for (let round = 0; round < 4; round += 1) {
          const expected = (await on.knowledge.findById(on.here, made.id))?.version ?? 0;
          const content = `by ${n} in round ${round}`;
          const change = on.knowledge.update(on.here, made.id, { content }, { expectedVersion: expected });
          const reason: unknown = await change.then(
            () => undefined,
            (error: unknown) => error,
          );
          tried.push({ expected, content, reason });
          if (reason === undefined) break;
        }
        return tried;
      }),
    );
    const won = attempts.flat().filter(({ reason }) => reason === undefined);
    const lost = attempts.flat().filter(({ reason }) => reason !== undefined);
    const contents = new Map(won.map(({ expected, content }) => [expected + 1, content]));
    expect([...contents.keys()].toSorted((a, b) => a - b)).toEqual(won.map((_, index) => index + 2));
    for (const { expected, reason } of lost) {
      const actual: unknown = expect.toSatisfy((version: number) => version > expected);
      const details = { entity: 'knowledge', entityId: made.id, expected, actual };
      expect(reason).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', status: 409, details });
    }
    expect([won.length > 3, lost.length > 190]).toEqual([true, true]);
    const { items } = await on.knowledge.versions(on.here, made.id, { limit: 100 });
    const history = items.toReversed().map(({ versionNumber, content }) => [versionNumber, content]);
    expect(history).toEqual([[1, 'first'], ...[...contents].toSorted(([a], [b]) => a - b)]);
    expect((await on.knowledge.findById(on.here, made.id))?.content).toBe(items[0]?.content);
  });

  test('fifty that expect nothing all count', async () => {
    const { id } = await on.knowledge.create(on.here, { title: 'Busy' });
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        on.knowledge.update(on.here, id, { content: `by ${n}`, tags: [`t${n % 3}`] }),
      ),
    );
    const found = await on.knowledge.findById(on.here, id);
    expect(found?.version).toBe(51);
    expect(found?.tags).toHaveLength(1);
    const { items } = await on.knowledge.versions(on.here, id, { limit: 100 });
    expect(items.map(({ versionNumber }) => versionNumber)).toEqual(Array.from({ length: 51 }, (_, n) => 51 - n));
  });

  test('a document of another workspace is not there', async () => {
    const { id } = await on.knowledge.create(on.there, { title: 'Theirs', tags: ['secret'], author: 'Eve' });
    const missing = { code: 'NOT_FOUND', details: { entity: 'knowledge', entityId: id } };
    expect(await on.knowledge.findById(on.here, id)).toBeUndefined();
    expect(await on.knowledge.findMany(on.here, { ids: [id] })).toEqual([]);
    await expect(on.knowledge.update(on.here, id, { title: 'Mine' })).rejects.toMatchObject(missing);
    await expect(on.knowledge.delete(on.here, id)).rejects.toMatchObject(missing);
    await expect(on.knowledge.versions(on.here, id)).rejects.toMatchObject(missing);
    expect((await on.tags.findMany(on.here, { limit: 100 })).items.map(({ name }) => name)).not.toContain('secret');
    const [eve] = await on.users.ensureAuthors(on.there, ['Eve']);
    await expect(on.knowledge.create(on.here, { title: 'a', authorId: eve })).rejects.toMatchObject(
      faultsAt('authorId'),
    );
    const shelf = await on.collections.create(on.there, { name: 'Theirs' });
    await expect(on.knowledge.create(on.here, { title: 'a', collectionId: shelf.id })).rejects.toMatchObject(
      faultsAt('collectionId'),
    );
    expect((await on.knowledge.findById(on.there, id))?.version).toBe(1);
  });

  test.each(['', 'x', '1', '../../etc/passwd', `${unknownId}0`, '\0'])('the id %j finds nothing', async (id) => {
    expect(await on.knowledge.findById(on.here, id)).toBeUndefined();
    await expect(on.knowledge.update(on.here, id, { title: 'a' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(on.knowledge.delete(on.here, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(on.knowledge.versions(on.here, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

test('deleting expects a version too, and is told under its actor', async () => {
  const { id } = await on.knowledge.create(on.here, { title: 'Doomed', tags: ['x'] });
  await expect(on.knowledge.delete(on.here, id, { expectedVersion: 2 })).rejects.toMatchObject({
    details: { expected: 2, actual: 1 },
  });
  await on.knowledge.delete(on.here, id, { expectedVersion: 1, actor: 'ada' });
  expect(await on.knowledge.findById(on.here, id)).toBeUndefined();
  await expect(on.knowledge.delete(on.here, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(
    await on.database.query('SELECT type, actor FROM treadle.events WHERE aggregate_id = $1 ORDER BY seq', [id]),
  ).toEqual([
    { type: 'knowledge.created', actor: null },
    { type: 'knowledge.deleted', actor: 'ada' },
  ]);
});
