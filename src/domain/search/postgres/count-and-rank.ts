import { z } from 'zod';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { SearchPosition } from '../search-port.ts';
import type { SearchFacets, SearchFilters, SearchSort } from '../types.ts';
import { filterConditions, matchCondition, orderingOf, scoreExpression, type WordMatch } from './match-conditions.ts';
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
  (SELECT coalesce(jsonb_agg(jsonb_build_object('value', f.tag, 'count', f.count) ORDER BY f.count DESC, f.tag), '[]')
    FROM (SELECT tag, count(*) FROM matched, unnest(tags) AS tag GROUP BY tag ORDER BY count(*) DESC, tag LIMIT 20) AS f
  ) AS tags,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('id', f.author_id, 'name', u.name, 'count', f.count)
      ORDER BY f.count DESC, f.author_id), '[]')
    FROM (SELECT author_id, count(*) FROM matched WHERE author_id IS NOT NULL
      GROUP BY author_id ORDER BY count(*) DESC, author_id LIMIT 10) AS f
    JOIN treadle.users AS u ON u.id = f.author_id) AS authors,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('value', f.status, 'count', f.count) ORDER BY f.count DESC, f.status), '[]')
    FROM (SELECT status, count(*) FROM matched GROUP BY status) AS f) AS status,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('value', to_char(f.month, 'YYYY-MM'), 'count', f.count) ORDER BY f.month), '[]')
    FROM (SELECT date_trunc('month', created_at AT TIME ZONE 'UTC') AS month, count(*) FROM matched GROUP BY 1) AS f
  ) AS timeline`;

const afterCondition = ({ sort, match, after }: RankRequest, values: SqlValues): string => {
  if (!after) return 'true';
  const { column, type, direction } = orderingOf(sort, match);
  const [key, id] = after;
  const sign = direction === 'DESC' ? '<' : '>';
  return `(${column}, document_id) ${sign} (${values.add(key)}::${type}, ${values.add(id)}::uuid)`;
};

/**
 * Everything a page of matching documents needs, in one statement and so of one moment: how many match, the page, and
 * the counts by tag, author, status and month.
 */
export const countAndRank = async (db: Queryable, request: RankRequest): Promise<Ranked> => {
  const values = new SqlValues();
  const { workspaceId, match, filters, sort, limit, offset } = request;
  const { column, direction } = orderingOf(sort, match);
  const order = `${column} ${direction}, document_id ${direction}`;
  const { rows } = await db.query(
    `WITH matched AS MATERIALIZED (
       SELECT s.document_id, s.status, s.author_id, s.tags, s.created_at, s.updated_at, s.title_key,
         ${scoreExpression(match, values)} AS score
       FROM treadle.search_documents AS s
       WHERE ${filterConditions(workspaceId, filters, values)} AND ${matchCondition(match, values)}
     ), page AS (
       SELECT * FROM matched WHERE ${afterCondition(request, values)}
       ORDER BY ${order} LIMIT ${values.add(limit)} OFFSET ${values.add(offset)}
     )
     SELECT (SELECT count(*)::integer FROM matched) AS total,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', document_id, 'score', score, 'updatedAt', updated_at::text,
         'titleKey', title_key) ORDER BY ${order}), '[]') FROM page) AS documents,
       ${facetColumns}`,
    values.list,
  );
  const { total, documents, ...facets } = answer.parse(rows[0]);
  return { total, documents, facets };
};
