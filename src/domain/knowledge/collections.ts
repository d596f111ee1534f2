import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { toCollection, type CollectionRow } from './rows.ts';
import type { Collection } from './types.ts';

const nameKey = z.tuple([z.string()]);
const columns = 'c.id, c.workspace_id, c.name, c.description, c.created_at, c.updated_at';

/** Undefined when the name is taken. */
export const insertCollection = async (
  db: Queryable,
  workspaceId: string,
  { name, description }: { readonly name: string; readonly description: string },
): Promise<Collection | undefined> => {
  const { rows } = await db.query<CollectionRow>(
    `INSERT INTO treadle.collections AS c (workspace_id, name, description) VALUES ($1, $2, $3)
     ON CONFLICT (workspace_id, name) DO NOTHING RETURNING ${columns}, 0 AS documents`,
    [workspaceId, name, description],
  );
  return rows[0] && toCollection(rows[0]);
};

/** The collections of a workspace by name, with how many documents lie in each. */
export const listCollections = async (
  db: Queryable,
  workspaceId: string,
  request: PageRequest,
): Promise<Page<Collection>> => {
  const start = await readPageRequest(db, request, { list: 'collections', scope: [workspaceId], key: nameKey });
  const [beyond, order] = start.direction === 'next' ? ['>', 'ASC'] : ['<', 'DESC'];
  const { rows } = await db.query<CollectionRow>(
    `SELECT ${columns},
       (SELECT count(*)::integer FROM treadle.knowledge AS k WHERE k.workspace_id = c.workspace_id AND k.collection_id = c.id) AS documents
     FROM treadle.collections AS c
     WHERE c.workspace_id = $1 AND ($2::text IS NULL OR c.name ${beyond} $2)
     ORDER BY c.name ${order} LIMIT $3`,
    [workspaceId, start.key?.[0] ?? null, start.limit + 1],
  );
  return pageOf(rows, start, { keyOf: (row) => [row.name], toItem: toCollection });
};
