import { sql } from 'kysely';
import { kyselyThrough } from '../../lib/postgres/kysely-through.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';

/** Makes the tags that the workspace does not have. Sorted, so that two writers wait for each other in one order. */
export const ensureTags = async (db: Queryable, workspaceId: string, names: readonly string[]): Promise<void> => {
  if (names.length === 0) return;
  await sql`INSERT INTO treadle.tags (workspace_id, name)
    SELECT ${workspaceId}::uuid, name FROM (SELECT DISTINCT name FROM unnest(${names}::text[]) AS given (name)) AS given
    WHERE NOT EXISTS (SELECT FROM treadle.tags AS t WHERE t.workspace_id = ${workspaceId} AND t.name = given.name)
    ORDER BY name
    ON CONFLICT DO NOTHING`.execute(kyselyThrough(db));
};

/** Gives a document exactly these tags, which exist. Answers whether that changed anything. */
export const replaceTags = async (
  db: Queryable,
  workspaceId: string,
  knowledgeId: string,
  names: readonly string[],
): Promise<boolean> => {
  const { rows } = await sql<{ changed: boolean }>`
    WITH wanted AS (SELECT id FROM treadle.tags WHERE workspace_id = ${workspaceId} AND name = ANY (${names}::text[])),
    removed AS (
      DELETE FROM treadle.knowledge_tags WHERE workspace_id = ${workspaceId} AND knowledge_id = ${knowledgeId}
        AND tag_id NOT IN (SELECT id FROM wanted) RETURNING tag_id),
    added AS (
      INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
      SELECT ${workspaceId}::uuid, ${knowledgeId}::uuid, id FROM wanted
      ON CONFLICT DO NOTHING RETURNING tag_id)
    SELECT EXISTS (SELECT FROM removed) OR EXISTS (SELECT FROM added) AS changed`.execute(kyselyThrough(db));
  return rows[0]?.changed === true;
};
