import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { indexId } from '../../src/domain/search/indexes/index-document.ts';
import type { DocumentKey, SourceDocument } from '../../src/domain/search/indexes/index-source.ts';
import type { SearchIndex } from '../../src/domain/search/indexes/search-index.ts';
import { AppError } from '../../src/lib/errors/app-error.ts';
import { versionOf } from '../../src/lib/replication/change-version.ts';
import { parseLsn } from '../../src/lib/replication/lsn.ts';
import type { Queryable } from '../../src/lib/postgres/queryable.ts';
import type { Breach } from '../audit.ts';

export interface Compared {
  readonly documents: number;
  readonly tombstones: number;
  readonly breaches: readonly Breach[];
}

const document = z.record(z.string(), z.unknown());
const foundShape = z.object({
  docs: z.array(
    z.object({ found: z.boolean().default(false), _version: z.number().optional(), _source: document.optional() }),
  ),
});
const pageShape = z.object({
  hits: z.object({
    hits: z.array(
      z.object({
        _source: z.object({ id: z.string(), workspace_id: z.string().default(''), deleted_at: z.unknown().optional() }),
        sort: z.array(z.union([z.string(), z.number()])),
      }),
    ),
  }),
});

/** Not kept in the index, which is always built from Postgres. */
const left = new Set(['parts', 'title_signs', 'chunks']);
const pageSize = 1_000;
const readAtOnce = 100;

class Breaches {
  readonly #ids = new Map<string, string[]>();

  add(rule: string, id: string): void {
    const known = this.#ids.get(rule);
    if (known) known.push(id);
    else this.#ids.set(rule, [id]);
  }

  list(name: string): readonly Breach[] {
    return [...this.#ids].map(([rule, ids]) => ({
      rule: `${name}: ${rule}`,
      ids: ids.slice(0, 20),
      count: ids.length,
    }));
  }
}

const triesAtMost = 10;

/** Asks again while the server is too busy with what was written. */
const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (tries === triesAtMost || !(error instanceof AppError) || !error.retryable) throw error;
      await delay(2_000);
    }
  }
};

/** Of everything that is committed. */
const highestVersion = async (db: Queryable): Promise<bigint> => {
  const { rows } = await db.query<{ epoch: number; lsn: string }>(
    'SELECT epoch, pg_current_wal_insert_lsn()::text AS lsn FROM treadle.change_epoch',
  );
  const [row] = rows;
  return versionOf(row?.epoch ?? 0, parseLsn(row?.lsn ?? '0/0'));
};

const compareOne = (
  expected: SourceDocument,
  found: z.infer<typeof foundShape>['docs'][number] | undefined,
  highest: bigint,
  breaches: Breaches,
): void => {
  const id = indexId(expected);
  const { _source: source, _version: version = 0 } = found ?? {};
  if (!found?.found || !source) return breaches.add('missing', id);
  if (source['deleted_at'] !== undefined) return breaches.add('buried, and there', id);
  const wanted = document.parse(JSON.parse(expected.json));
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(source)])) {
    if (left.has(name) || name === 'version' || name === 'content_hash') continue;
    if (JSON.stringify(wanted[name]) !== JSON.stringify(source[name])) breaches.add(`another ${name}`, id);
  }
  if (source['content_hash'] !== expected.hash) breaches.add('another hash', id);
  if (source['version'] !== version) breaches.add('another version in it than of it', id);
  if (BigInt(version) > highest) breaches.add('a version of the future', id);
  return undefined;
};

/** Every document of Postgres is in the index as it is, read by its id. */
const compareDocuments = async (index: SearchIndex, alias: string, breaches: Breaches): Promise<number> => {
  const { source, elasticsearch, db } = index;
  const highest = await highestVersion(db);
  let documents = 0;
  for (let after: DocumentKey | undefined; ;) {
    const page = await source.scan(db, after);
    after = page.at(-1);
    if (after === undefined) return documents;
    for (let from = 0; from < page.length; from += readAtOnce) {
      const part = page.slice(from, from + readAtOnce);
      const ids = part.map(indexId);
      const answer = await patiently(() =>
        elasticsearch.call((client, options) => client.mget({ index: alias, ids }, options)),
      );
      const { docs } = foundShape.parse(answer);
      for (const [place, one] of part.entries()) compareOne(one, docs[place], highest, breaches);
    }
    documents += page.length;
  }
};

/** Answers how many documents there are behind an alias, and tells `onPage` their keys. */
const eachIndexed = async (
  { elasticsearch }: SearchIndex,
  alias: string,
  onPage: (page: readonly (DocumentKey & { readonly isDeleted: boolean })[]) => Promise<void>,
): Promise<void> => {
  for (let after: (string | number)[] | undefined; ;) {
    const query = {
      index: alias,
      size: pageSize,
      sort: [{ workspace_id: { order: 'asc' as const, missing: '_first' } }, { id: 'asc' as const }],
      _source: ['id', 'workspace_id', 'deleted_at'],
      ...(after ? { search_after: after } : {}),
    };
    const answer = await patiently(() => elasticsearch.call((client, options) => client.search(query, options)));
    const { hits } = pageShape.parse(answer).hits;
    after = hits.at(-1)?.sort;
    if (after === undefined) return;
    await onPage(
      hits.map(({ _source: { id, workspace_id: workspaceId, deleted_at } }) => ({
        workspaceId,
        id,
        isDeleted: deleted_at !== undefined,
      })),
    );
  }
};

/**
 * Compares an index with its tables, field by field and in both directions, once nobody writes any more and the index has been
 * offered everything. Nothing is put right.
 */
export const compareIndex = async (index: SearchIndex): Promise<Compared> => {
  const { source, elasticsearch, db, name } = index;
  const { alias, live } = source.definition.names;
  const breaches = new Breaches();
  await patiently(() => elasticsearch.call((client, options) => client.indices.refresh({ index: alias }, options)));
  const documents = await compareDocuments(index, alias, breaches);
  let tombstones = 0;
  await eachIndexed(index, alias, async (page) => {
    const kept = page.filter(({ isDeleted }) => !isDeleted);
    tombstones += page.length - kept.length;
    for (const key of await source.absent(db, kept)) breaches.add('there, and deleted', indexId(key));
  });
  let searched = 0;
  await eachIndexed(index, live, (page) => {
    searched += page.length;
    for (const key of page) if (key.isDeleted) breaches.add('a tombstone that is searched', indexId(key));
    return Promise.resolve();
  });
  if (searched !== documents) breaches.add('searched as many', `${searched} of ${documents}`);
  return { documents, tombstones, breaches: breaches.list(name) };
};
