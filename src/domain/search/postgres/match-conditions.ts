import type { SearchFilters, SearchSort } from '../types.ts';
import { escapeLike, type SqlValues } from './sql-builder.ts';

/** How a query's words are matched. */
export type WordMatch =
  | { readonly kind: 'anything' }
  /** `websearch` is text for websearch_to_tsquery; `key` the whole query as titles are compared. */
  | { readonly kind: 'words'; readonly websearch: string; readonly key: string }
  /** Nothing a text search knows (stop words, punctuation): titles that contain it as it is. */
  | { readonly kind: 'literal'; readonly text: string; readonly key: string };

/** Weights of tags, content, excerpt and title. */
const weights = `'{0.6, 0.3, 0.6, 1.0}'`;

const queryOf = (websearch: string, values: SqlValues): string =>
  `websearch_to_tsquery('pg_catalog.english', treadle.without_accents(${values.add(websearch)}))`;

export const filterConditions = (workspaceId: string, filters: SearchFilters, values: SqlValues): string => {
  const conditions = [`s.workspace_id = ${values.add(workspaceId)}`];
  const { tags, authors, status, collections, months, from, to } = filters;
  if (tags?.length) conditions.push(`s.tags && ${values.add(tags)}::text[]`);
  if (authors?.length) conditions.push(`s.author_id = ANY (${values.add(authors)}::uuid[])`);
  if (status?.length) conditions.push(`s.status = ANY (${values.add(status)}::text[])`);
  if (collections?.length) conditions.push(`s.collection_id = ANY (${values.add(collections)}::uuid[])`);
  if (months?.length) {
    conditions.push(`s.created_month = ANY (${values.add(months.map((month) => `${month}-01`))}::date[])`);
  }
  if (from) conditions.push(`s.updated_at >= ${values.add(from)}`);
  if (to) conditions.push(`s.updated_at <= ${values.add(to)}`);
  return conditions.join(' AND ');
};

export const hasFilters = (filters: SearchFilters): boolean =>
  Object.values(filters).some((value: unknown) => value instanceof Date || (Array.isArray(value) && value.length > 0));

export const matchCondition = (match: WordMatch, values: SqlValues): string => {
  if (match.kind === 'anything') return 'true';
  if (match.kind === 'words') return `s.vector @@ ${queryOf(match.websearch, values)}`;
  return match.key === ''
    ? `s.title ILIKE ${values.add(`%${escapeLike(match.text)}%`)}`
    : `' ' || s.title_key || ' ' LIKE ${values.add(`% ${escapeLike(match.key)} %`)}`;
};

/** Rank of the words by field, and more for a title that is the query, begins with it or contains it as a phrase. */
export const scoreExpression = (match: WordMatch, values: SqlValues): string => {
  if (match.kind === 'anything') return '0::float8';
  const key = escapeLike(match.key);
  const title = `CASE WHEN s.title_key = ${values.add(match.key)} THEN 1.0
    WHEN s.title_key LIKE ${values.add(`${key}%`)} THEN 0.6
    WHEN ' ' || s.title_key || ' ' LIKE ${values.add(`% ${key} %`)} THEN 0.3 ELSE 0 END`;
  if (match.kind === 'literal') return `(${title})::float8`;
  return `(ts_rank(${weights}, s.vector, ${queryOf(match.websearch, values)}, 1) + ${title})::float8`;
};

/** What a document is ordered by, as columns of `matched`; the id is the last word. */
export interface Ordering {
  readonly column: 'score' | 'updated_at' | 'title_key';
  readonly type: 'float8' | 'timestamptz' | 'text';
  readonly direction: 'DESC' | 'ASC';
}

const orderings: Readonly<Record<SearchSort, Ordering>> = {
  relevance: { column: 'score', type: 'float8', direction: 'DESC' },
  newest: { column: 'updated_at', type: 'timestamptz', direction: 'DESC' },
  oldest: { column: 'updated_at', type: 'timestamptz', direction: 'ASC' },
  title: { column: 'title_key', type: 'text', direction: 'ASC' },
};

/** A listing has no relevance: it is by recency then. */
export const orderingOf = (sort: SearchSort, match: WordMatch): Ordering =>
  orderings[sort === 'relevance' && match.kind === 'anything' ? 'newest' : sort];
