import { array, assert, asyncProperty, constantFrom, integer, nat, record } from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Page } from '../../../src/lib/postgres/keyset-page.ts';
import type { Knowledge } from '../../../src/domain/knowledge/types.ts';
import { faultsAt } from './faults-at.ts';
import { useKnowledge } from './use-knowledge.ts';

const on = useKnowledge();

describe('listing', () => {
  test('pages lead through every document once, both ways, also where times are equal', async () => {
    const workspace = await on.newWorkspace();
    await on.database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title, updated_at)
       SELECT $1, 'n' || n, '2026-01-01T00:00:00.000001Z'::timestamptz + n / 4 * interval '1 microsecond' FROM generate_series(1, 45) AS n`,
      [workspace],
    );
    const expected = await on.database.query<{ id: string }>(
      'SELECT id FROM treadle.knowledge WHERE workspace_id = $1 ORDER BY updated_at DESC, id DESC',
      [workspace],
    );
    const first = await on.knowledge.findByWorkspace(workspace);
    expect(first.items).toHaveLength(20);
    const pages = [first];
    for (let cursor = first.nextCursor; cursor !== null;) {
      const page = await on.knowledge.findByWorkspace(workspace, { cursor });
      pages.push(page);
      cursor = page.nextCursor;
    }
    expect(pages.flatMap(({ items }) => items.map(({ id }) => id))).toEqual(expected.map(({ id }) => id));
    let cursor = pages.at(-1)?.prevCursor ?? null;
    for (const page of pages.slice(0, -1).toReversed()) {
      const back = await on.knowledge.findByWorkspace(workspace, { cursor: cursor ?? '' });
      expect(back.items).toEqual(page.items);
      cursor = back.prevCursor;
    }
    expect(cursor).toBeNull();
  });

  test('filters hold together with pages and counts', async () => {
    const workspace = await on.newWorkspace();
    for (let n = 0; n < 6; n += 1) {
      await on.knowledge.create(workspace, {
        title: `n${n}`,
        status: n % 2 ? 'published' : 'archived',
        tags: n < 4 ? ['a', `t${n}`] : [],
        author: n < 3 ? 'Ada' : 'Bob',
        sourceId: `s${n}`,
      });
    }
    const [ada] = await on.users.ensureAuthors(workspace, ['Ada']);
    const titles = async (filter: object): Promise<string[]> =>
      (await on.knowledge.findByWorkspace(workspace, filter)).items.map(({ title }) => title);
    expect(await titles({ status: 'published' })).toEqual(['n5', 'n3', 'n1']);
    expect(await titles({ tags: ['a'], status: 'published' })).toEqual(['n3', 'n1']);
    expect(await titles({ tags: ['a', 't2'] })).toEqual(['n2']);
    expect(await titles({ tags: ['a', 'none'] })).toEqual([]);
    expect(await titles({ authorId: ada })).toEqual(['n2', 'n1', 'n0']);
    expect(await titles({ sourceId: 's4' })).toEqual(['n4']);
    expect(await titles({ updatedFrom: new Date(Date.now() + 60_000) })).toEqual([]);
    expect(await on.knowledge.count(workspace, { tags: ['a'] })).toBe(4);
    expect(await on.knowledge.count(workspace)).toBe(6);
    const some = await on.knowledge.findMany(workspace, {}, { limit: 2, offset: 1 });
    expect(some.map(({ title }) => title)).toEqual(['n4', 'n3']);
    const page = await on.knowledge.findByWorkspace(workspace, { status: 'published', limit: 2 });
    const next = await on.knowledge.findByWorkspace(workspace, {
      status: 'published',
      limit: 2,
      cursor: page.nextCursor ?? '',
    });
    expect(next.items.map(({ title }) => title)).toEqual(['n1']);
    expect(next.nextCursor).toBeNull();
  });

  test.each([
    [{ cursor: 'x' }, 'cursor'],
    [{ cursor: Buffer.from('["next",["2026-01-01T00:00:00Z","1"]]').toString('base64url') }, 'cursor'],
    [{ limit: 0 }, 'limit'],
    [{ limit: 101 }, 'limit'],
    [{ ids: ['x'] }, 'ids[0]'],
    [{ authorId: "' OR true" }, 'authorId'],
    [{ tags: ['\0'] }, 'tags[0]'],
    [{ updatedFrom: new Date('no') }, 'updatedFrom'],
  ])('refuses %j', async (request, path) => {
    await expect(on.knowledge.findByWorkspace(on.here, request)).rejects.toMatchObject(faultsAt(path));
  });

  test('a cursor of one workspace is refused in another', async () => {
    const workspace = await on.newWorkspace();
    for (let n = 0; n < 3; n += 1) await on.knowledge.create(workspace, { title: `n${n}` });
    const { nextCursor } = await on.knowledge.findByWorkspace(workspace, { limit: 1 });
    const other = await on.newWorkspace();
    await expect(on.knowledge.findByWorkspace(other, { cursor: nextCursor ?? '' })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { faults: [{ path: 'cursor' }] },
    });
  });
});

/** What others do while a page is read: write documents, or change some of those there were. */
const write = record({ kind: constantFrom('insert', 'update'), which: nat() });
const reading = record({
  documents: integer({ min: 0, max: 24 }),
  /** So many of them share one time. */
  tied: integer({ min: 1, max: 6 }),
  limit: integer({ min: 1, max: 7 }),
  /** During the first, second, … page. */
  writes: array(array(write, { maxLength: 3 }), { maxLength: 12 }),
  direction: constantFrom('next', 'prev'),
});

type ReadPage = (cursor: string | undefined) => Promise<Page<Knowledge>>;

const lastPage = async (workspace: string, limit: number): Promise<Page<Knowledge>> => {
  let page = await on.knowledge.findByWorkspace(workspace, { limit });
  while (page.nextCursor !== null)
    page = await on.knowledge.findByWorkspace(workspace, { limit, cursor: page.nextCursor });
  return page;
};

const forwards = async (read: ReadPage): Promise<readonly Knowledge[]> => {
  let page = await read(undefined);
  const seen = [...page.items];
  while (page.nextCursor !== null) {
    page = await read(page.nextCursor);
    seen.push(...page.items);
  }
  return seen;
};

const backwards = async (read: ReadPage, last: Page<Knowledge>): Promise<readonly Knowledge[]> => {
  let page = last;
  const seen = [...page.items];
  while (page.prevCursor !== null) {
    page = await read(page.prevCursor);
    seen.unshift(...page.items);
  }
  return seen;
};

test('pages joined in either direction are the whole set, whatever is written meanwhile', async () => {
  await assert(
    asyncProperty(reading, async ({ documents, tied, limit, writes, direction }) => {
      const workspace = await on.newWorkspace();
      const rows = await on.database.query<{ id: string }>(
        `INSERT INTO treadle.knowledge (workspace_id, title, updated_at)
         SELECT $1, 'n' || n, '2026-01-01Z'::timestamptz + n / $3::integer * interval '1 microsecond' FROM generate_series(1, $2::integer) AS n
         RETURNING id`,
        [workspace, documents, tied],
      );
      const changed = new Set<string>();
      const left = [...writes];
      const page: ReadPage = async (cursor) => {
        const others = (left.shift() ?? []).map(({ kind, which }) => {
          const row = rows[which % rows.length];
          if (kind === 'insert' || !row) return on.knowledge.create(workspace, { title: 'new' });
          changed.add(row.id);
          return on.knowledge.update(workspace, row.id, { content: `changed ${changed.size}` });
        });
        const [read] = await Promise.all([on.knowledge.findByWorkspace(workspace, { limit, cursor }), ...others]);
        return read;
      };
      const seen =
        direction === 'next' ? await forwards(page) : await backwards(page, await lastPage(workspace, limit));
      const unchanged = await on.database.query<{ id: string }>(
        `SELECT id FROM treadle.knowledge WHERE workspace_id = $1 AND title <> 'new' AND version = 1 ORDER BY updated_at DESC, id DESC`,
        [workspace],
      );
      expect(unchanged).toHaveLength(documents - changed.size);
      const stayed = new Set(unchanged.map(({ id }) => id));
      expect(seen.map(({ id }) => id).filter((id) => stayed.has(id))).toEqual([...stayed]);
    }),
    { numRuns: 25 },
  );
});
