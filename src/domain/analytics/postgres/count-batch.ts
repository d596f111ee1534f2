import { countResponseTimes } from '../response-times.ts';
import type { DatedSearch, SearchRecord } from '../types.ts';

const groupsOf = (
  searches: readonly DatedSearch[],
  keyOf: (search: DatedSearch) => string,
): readonly (readonly [DatedSearch, ...DatedSearch[]])[] => {
  const groups = new Map<string, [DatedSearch, ...DatedSearch[]]>();
  for (const search of searches) {
    const group = groups.get(keyOf(search));
    if (group) group.push(search);
    else groups.set(keyOf(search), [search]);
  }
  return [...groups.values()];
};

const isWithoutResult = ({ resultCount }: SearchRecord): boolean => resultCount === 0;

/** Rows of treadle.search_days that count these searches. */
export const countByDay = (searches: readonly DatedSearch[]) =>
  groupsOf(searches, ({ workspaceId, day }) => `${workspaceId} ${day}`).map((group) => ({
    workspace_id: group[0].workspaceId,
    day: group[0].day,
    searches: group.length,
    without_results: group.filter(isWithoutResult).length,
    degraded: group.filter(({ degraded }) => degraded).length,
    response_time_ms: group.reduce((sum, { responseTimeMs }) => sum + responseTimeMs, 0),
    response_times: countResponseTimes(group.map(({ responseTimeMs }) => responseTimeMs)),
  }));

/** Rows of treadle.search_queries that count them. */
export const countByQuery = (searches: readonly DatedSearch[]) =>
  groupsOf(searches, ({ workspaceId, day, normalizedQuery }) => `${workspaceId} ${day} ${normalizedQuery}`).map(
    (group) => ({
      workspace_id: group[0].workspaceId,
      day: group[0].day,
      query: group[0].normalizedQuery,
      searches: group.length,
      without_results: group.filter(isWithoutResult).length,
      last_at: new Date(Math.max(...group.map(({ timestamp }) => timestamp.getTime()))),
    }),
  );
