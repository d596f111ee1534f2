import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { newResults, type ClickedResult } from '../clicked-results.ts';
import type { SearchClick } from '../types.ts';

interface SearchRow {
  readonly searchId: string;
  readonly workspaceId: string;
  readonly day: string;
  readonly clickedResults: readonly ClickedResult[];
}

const lockSearches = `SELECT s.search_id AS "searchId", s.workspace_id AS "workspaceId", s.day::text AS day,
    s.clicked_results AS "clickedResults"
  FROM treadle.searches AS s JOIN (SELECT DISTINCT * FROM unnest($1::uuid[], $2::uuid[]) AS given (search_id, workspace_id)) AS given
    ON given.search_id = s.search_id AND given.workspace_id = s.workspace_id
  ORDER BY s.search_id FOR UPDATE OF s`;

const addResults = `UPDATE treadle.searches AS s SET clicked_results = s.clicked_results || added.results
  FROM jsonb_to_recordset($1::jsonb) AS added (search_id uuid, results jsonb) WHERE s.search_id = added.search_id`;

const addClicks = `UPDATE treadle.search_days AS d
  SET clicks = d.clicks + added.clicks, clicked_searches = d.clicked_searches + added.clicked_searches
  FROM jsonb_to_recordset($1::jsonb) AS added (workspace_id uuid, day date, clicks integer, clicked_searches integer)
  WHERE d.workspace_id = added.workspace_id AND d.day = added.day`;

const keyOf = ({ searchId, workspaceId }: Pick<SearchClick, 'searchId' | 'workspaceId'>): string =>
  `${workspaceId} ${searchId}`;

/** See {@link AnalyticsStore.click}; in a transaction, which holds the searches until its end. */
export const noteClicks = async (tx: Queryable, batch: readonly SearchClick[]): Promise<readonly SearchClick[]> => {
  const { rows } = await tx.query<SearchRow>(lockSearches, [
    batch.map(({ searchId }) => searchId),
    batch.map(({ workspaceId }) => workspaceId),
  ]);
  const noted = rows
    .map((row) => {
      const results = newResults(
        row.clickedResults,
        batch.filter((click) => keyOf(click) === keyOf(row)),
      );
      return { row, results };
    })
    .filter(({ results }) => results.length > 0);
  if (noted.length > 0) {
    await tx.query(addResults, [
      JSON.stringify(noted.map(({ row, results }) => ({ search_id: row.searchId, results }))),
    ]);
    await tx.query(addClicks, [JSON.stringify(countClicks(noted))]);
  }
  const known = new Set(rows.map(keyOf));
  return batch.filter((click) => !known.has(keyOf(click)));
};

const countClicks = (noted: readonly { readonly row: SearchRow; readonly results: readonly ClickedResult[] }[]) => {
  const days = new Map<string, { workspace_id: string; day: string; clicks: number; clicked_searches: number }>();
  for (const { row, results } of noted) {
    const { workspaceId, day, clickedResults } = row;
    const key = `${workspaceId} ${day}`;
    const counts = days.get(key) ?? { workspace_id: workspaceId, day, clicks: 0, clicked_searches: 0 };
    counts.clicks += results.length;
    counts.clicked_searches += clickedResults.length === 0 ? 1 : 0;
    days.set(key, counts);
  }
  return [...days.values()];
};
