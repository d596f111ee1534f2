import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { toTag, type TagRow } from './rows.ts';
import type { Tag } from './types.ts';

const nameKey = z.tuple([z.string()]);

/** Makes the tags that the workspace does not have. Sorted, so that two writers wait for each other in one order. */
export const ensureTags = async (db: Queryable, workspaceId: string, names: readonly string[]): Promise<void> => {
  if (names.length === 0) return;
  await db.query(
    `INSERT INTO treadle.tags (workspace_id, name)
     SELECT $1::uuid, name FROM (SELECT DISTINCT name FROM unnest($2::text[]) AS given (name)) AS given
     WHERE NOT EXISTS (SELECT FROM treadle.tags AS t WHERE t.workspace_id = $1 AND t.name = given.name)
     ORDER BY name
     ON CONFLICT DO NOTHING`,
    [workspaceId, names],
  );
};

/** Gives a document exactly these tags, which exist. Answers whether that changed anything. */
export const replaceTags = async (
  db: Queryable,
  workspaceId: string,
  knowledgeId: string,
  names: readonly string[],
): Promise<boolean> => {
  const { rows } = await db.query<{ changed: boolean }>(
    `WITH wanted AS (SELECT id FROM treadle.tags WHERE workspace_id = $1 AND name = ANY ($3::text[])),
     removed AS (
       DELETE FROM treadle.knowledge_tags WHERE workspace_id = $1 AND knowledge_id = $2
         AND tag_id NOT IN (SELECT id FROM wanted) RETURNING tag_id),
     added AS (
       INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id) SELECT $1, $2, id FROM wanted
       ON CONFLICT DO NOTHING RETURNING tag_id)
     SELECT EXISTS (SELECT FROM removed) OR EXISTS (SELECT FROM added) AS changed`,
    [workspaceId, knowledgeId, names],
  );
  return rows[0]?.changed === true;
};

/** The tags of a workspace by name, with how many documents carry each. */
export const listTags = async (db: Queryable, workspaceId: string, request: PageRequest): Promise<Page<Tag>> => {
  const start = await readPageRequest(db, request, { list: 'tags', scope: [workspaceId], key: nameKey });
  const [beyond, order] = start.direction === 'next' ? ['>', 'ASC'] : ['<', 'DESC'];
  const { rows } = await db.query<TagRow>(
    `SELECT t.id, t.workspace_id, t.name, t.created_at, t.updated_at,
       (SELECT count(*)::integer FROM treadle.knowledge_tags AS kt WHERE kt.workspace_id = t.workspace_id AND kt.tag_id = t.id) AS documents
     FROM treadle.tags AS t
     WHERE t.workspace_id = $1 AND ($2::text IS NULL OR t.name ${beyond} $2)
     ORDER BY t.name ${order} LIMIT $3`,
    [workspaceId, start.key?.[0] ?? null, start.limit + 1],
  );
  return pageOf(rows, start, { keyOf: (row) => [row.name], toItem: toTag });
};
