import { z } from 'zod';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { SearchPosition } from '../search-port.ts';
import type { SearchFacets, SearchFilters, SearchSort } from '../types.ts';
import {
  filterConditions,
  hasFilters,
  matchCondition,
  orderingOf,
  scoreExpression,
  type WordMatch,
} from './match-conditions.ts';
import { SqlValues } from './sql-builder.ts';

/** A matching document with everything it can be ordered by. */
export interface RankedDocument {
  readonly id: string;
  readonly score: number;
  /** As Postgres writes it, to the microsecond. */
  readonly updatedAt: string;
  readonly titleKey: string;
}

export interface RankRequest {
  readonly workspaceId: string;
  readonly match: WordMatch;
  readonly filters: SearchFilters;
  readonly sort: SearchSort;
  readonly limit: number;
  readonly offset: number;
  /** The ordering column and the id of the last document of the page before. */
  readonly after?: SearchPosition | undefined;
}

export interface Ranked {
  readonly total: number;
  readonly documents: readonly RankedDocument[];
  readonly facets: SearchFacets;
}

const counted = z.array(z.object({ value: z.string(), count: z.number() }));
const answer = z.object({
  total: z.number(),
  documents: z.array(z.object({ id: z.string(), score: z.number(), updatedAt: z.string(), titleKey: z.string() })),
  tags: counted,
  authors: z.array(z.object({ id: z.string(), name: z.string(), count: z.number() })),
  status: counted,
  timeline: counted,
});

const facetColumns = `
  (SELECT coalesce(sum(count), 0)::integer FROM groups) AS total,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('value', tag, 'count', count) ORDER BY count DESC, tag), '[]')
    FROM tagged) AS tags,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', f.author_id, 'name', u.name, 'count', f.count)
      ORDER BY f.count DESC, f.author_id), '[]')
    FROM (SELECT author_id, sum(count) AS count FROM groups WHERE author_id IS NOT NULL
      GROUP BY author_id ORDER BY sum(count) DESC, author_id LIMIT 10) AS f
    JOIN treadle.users AS u ON u.id = f.author_id) AS authors,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('value', f.status, 'count', f.count) ORDER BY f.count DESC, f.status), '[]')
    FROM (SELECT status, sum(count) AS count FROM groups GROUP BY status) AS f) AS status,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('value', to_char(f.month, 'YYYY-MM'), 'count', f.count) ORDER BY f.month), '[]')
    FROM (SELECT month, sum(count) AS count FROM groups GROUP BY month) AS f) AS timeline`;

const afterCondition = ({ sort, match, after }: RankRequest, values: SqlValues): string => {
  if (!after) return 'true';
  const { column, type, direction } = orderingOf(sort, match);
  const [key, id] = after;
  const sign = direction === 'DESC' ? '<' : '>';
  return `(${column}, document_id) ${sign} (${values.add(key)}::${type}, ${values.add(id)}::uuid)`;
};

/** Of a whole workspace the tags are counted where they are narrowest. */
const tagCounts = ({ workspaceId, match, filters }: RankRequest, matching: string, values: SqlValues): string =>
  match.kind === 'anything' && !hasFilters(filters)
    ? `SELECT t.name AS tag, used.count FROM (
         SELECT tag_id, count(*) AS count FROM treadle.knowledge_tags WHERE workspace_id = ${values.add(workspaceId)} GROUP BY tag_id
       ) AS used JOIN treadle.tags AS t ON t.id = used.tag_id
       ORDER BY used.count DESC, t.name LIMIT 20`
    : `SELECT tag, count(*) AS count FROM treadle.search_documents AS s, unnest(s.tags) AS tag
       WHERE ${matching} GROUP BY tag ORDER BY count(*) DESC, tag LIMIT 20`;

/**
 * Everything a page of matching documents needs, in one statement and so of one moment: how many match, the page, and
 * the counts by tag, author, status and month.
 */
export const countAndRank = async (db: Queryable, request: RankRequest): Promise<Ranked> => {
  const values = new SqlValues();
  const { workspaceId, match, filters, sort, limit, offset } = request;
  const { column, direction } = orderingOf(sort, match);
  const order = `${column} ${direction}, document_id ${direction}`;
  const matching = `${filterConditions(workspaceId, filters, values)} AND ${matchCondition(match, values)}`;
  // The matching rows are read once for each of the three: a common table of them would be written to disk first.
  const { rows } = await db.query(
    `WITH page AS MATERIALIZED (
       SELECT * FROM (
         SELECT s.document_id, s.updated_at, s.title_key, ${scoreExpression(match, values)} AS score
         FROM treadle.search_documents AS s WHERE ${matching}
       ) AS matched
       WHERE ${afterCondition(request, values)}
       ORDER BY ${order} LIMIT ${values.add(limit)} OFFSET ${values.add(offset)}
     ), groups AS MATERIALIZED (
       SELECT s.status, s.author_id, s.created_month AS month, count(*) AS count
       FROM treadle.search_documents AS s WHERE ${matching} GROUP BY 1, 2, 3
     ), tagged AS MATERIALIZED (
       ${tagCounts(request, matching, values)}
     )
     SELECT (SELECT coalesce(jsonb_agg(jsonb_build_object('id', document_id, 'score', score, 'updatedAt', updated_at::text,
         'titleKey', title_key) ORDER BY ${order}), '[]') FROM page) AS documents,
       ${facetColumns}`,
    values.list,
  );
  const { total, documents, ...facets } = answer.parse(rows[0]);
  return { total, documents, facets };
};
