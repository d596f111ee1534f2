import { z } from 'zod';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { DatedSearch, SearchRecord } from '../types.ts';

const highestInteger = 2 ** 31 - 1;

/** What Elasticsearch would take, and trends could not count. */
const countable = z.object({
  searchId: z.uuid(),
  workspaceId: z.uuid(),
  resultCount: z.number().int().min(0).max(highestInteger),
  responseTimeMs: z.number().min(0).max(highestInteger),
  timestamp: z.date(),
});

const readDays = `SELECT given.place, (given.searched_at AT TIME ZONE w.time_zone)::date::text AS day
  FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY AS given (workspace_id, searched_at, place)
    JOIN treadle.workspaces AS w ON w.id = given.workspace_id`;

/** Those that can be counted, of workspaces that there are, each with its day in the time zone that the workspace has now. */
export const dateSearches = async (db: Queryable, batch: readonly SearchRecord[]): Promise<readonly DatedSearch[]> => {
  const sound = batch.filter((search) => countable.safeParse(search).success);
  if (sound.length === 0) return [];
  const { rows } = await db.query<{ place: number; day: string }>(readDays, [
    sound.map(({ workspaceId }) => workspaceId),
    sound.map(({ timestamp }) => timestamp.toISOString()),
  ]);
  const days = new Map(rows.map(({ place, day }) => [place - 1, day]));
  return sound.flatMap((search, place): DatedSearch[] => {
    const day = days.get(place);
    return day === undefined ? [] : [{ ...search, day }];
  });
};

export const searchDocument = (search: DatedSearch): object => ({
  workspace_id: search.workspaceId.toLowerCase(),
  day: search.day,
  user_id: search.userId,
  query: search.query,
  normalized_query: search.normalizedQuery,
  mode: search.mode,
  filters: search.filters,
  result_count: search.resultCount,
  response_time: Math.round(search.responseTimeMs),
  backend: search.backend,
  degraded: search.degraded,
  clicked_results: [],
  click_count: 0,
  timestamp: search.timestamp.toISOString(),
});
