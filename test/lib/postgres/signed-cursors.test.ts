import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../../src/lib/postgres/keyset-page.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();

interface ListOptions {
  readonly db?: Postgres;
  readonly list?: string;
  readonly scope?: readonly unknown[];
}

/** The numbers from 1 to 9 as a list. */
const numbers = async (
  request: PageRequest,
  { db = database.postgres, list = 'numbers', scope = ['even', { to: 9, from: 1 }] }: ListOptions = {},
): Promise<Page<number>> => {
  const start = await readPageRequest(db, request, { list, scope, key: z.tuple([z.string().regex(/^[1-9]$/)]) });
  const [beyond, order] = start.direction === 'next' ? ['>', 'ASC'] : ['<', 'DESC'];
  const { rows } = await db.query<{ n: number }>(
    `SELECT n FROM generate_series(1, 9) AS n WHERE $1::integer IS NULL OR n ${beyond} $1 ORDER BY n ${order} LIMIT $2`,
    [start.key?.[0] ?? null, start.limit + 1],
  );
  return pageOf(rows, start, { keyOf: ({ n }) => [String(n)] as const, toItem: ({ n }) => n });
};
const cursor = async (): Promise<string> => (await numbers({ limit: 3 })).nextCursor ?? '';
/** Of these texts, those that are not refused as what they are: no cursors of the list. */
const accepted = async (texts: readonly string[], options?: ListOptions): Promise<readonly string[]> => {
  const kept: string[] = [];
  for (const text of texts) {
    const fault = await numbers({ cursor: text }, options).then(
      () => undefined,
      (error: unknown) => (error instanceof AppError ? error : undefined),
    );
    const expected = { faults: [{ path: 'cursor', message: 'is not a cursor of this list' }] };
    if (fault?.code !== 'VALIDATION_ERROR' || !isDeepStrictEqual(fault.details, expected)) kept.push(text);
  }
  return kept;
};
const openProcess = (): Postgres =>
  new Postgres(
    { url: database.url, directUrl: database.url, poolSize: 1, statementTimeoutMs: 0, applicationName: 'other' },
    createLog({ level: 'silent' }),
  );

test('a cursor with any character changed, taken out or added is refused', async () => {
  const made = await cursor();
  expect((await numbers({ limit: 3, cursor: made })).items).toEqual([4, 5, 6]);
  const changed = Array.from(made, (old, at) => {
    const [before, after] = [made.slice(0, at), made.slice(at + 1)];
    const others = ['A', 'B', '_', '-', ' '].filter((other) => other !== old);
    return [before, before + after, ...others.map((other) => before + other + after)];
  });
  expect(await accepted(changed.flat())).toEqual([]);
  // Text that decodes to the same bytes is another text all the same.
  expect(await accepted(['A', '=', '==', ' ', '\n', '.', '\0'].map((added) => made + added))).toEqual([]);
});

test('texts that never were cursors are refused, however long', async () => {
  const unsigned = Buffer.from(JSON.stringify(['next', ['3']])).toString('base64url');
  const zeroes = Buffer.concat([Buffer.alloc(16), Buffer.from(JSON.stringify(['next', ['3']]))]).toString('base64url');
  const huge = 'A'.repeat(5_000_000);
  expect(await accepted(['', 'x', '%', 'ключ', '🦊', '{}', unsigned, zeroes, huge])).toEqual([]);
});

test('a cursor is good for its own list with its own filters only, in whichever order these are named', async () => {
  const made = await cursor();
  expect(await accepted([made], { list: 'letters' })).toEqual([]);
  expect(await accepted([made], { scope: [] })).toEqual([]);
  expect(await accepted([made], { scope: ['odd', { to: 9, from: 1 }] })).toEqual([]);
  expect(await accepted([made], { scope: ['even', { to: 9, from: 2 }] })).toEqual([]);
  const again = await numbers({ limit: 2, cursor: made }, { scope: ['even', { from: 1, to: 9 }] });
  expect(again.items).toEqual([4, 5]);
});

test('a cursor leads on in every process of its database, and in none with another key', async () => {
  const made = await cursor();
  const other = openProcess();
  try {
    expect((await numbers({ limit: 3, cursor: made }, { db: other })).items).toEqual([4, 5, 6]);
  } finally {
    await other.close();
  }
  await database.query(`UPDATE treadle.secrets SET secret = sha256(secret) WHERE name = 'cursors'`);
  const later = openProcess();
  try {
    expect(await accepted([made], { db: later })).toEqual([]);
  } finally {
    await later.close();
  }
});

test('a process reads the key once, and tries again where it could not', async () => {
  const fresh = openProcess();
  try {
    await database.query(`UPDATE treadle.secrets SET name = 'away' WHERE name = 'cursors'`);
    await expect(fresh.cursorKey()).rejects.toMatchObject({ code: 'CONFIGURATION_ERROR' });
    await database.query(`UPDATE treadle.secrets SET name = 'cursors' WHERE name = 'away'`);
    const key = await fresh.cursorKey();
    expect(await fresh.cursorKey()).toBe(key);
    expect(JSON.stringify(key)).toBe('{}');
  } finally {
    await fresh.close();
  }
});
