import type { Queryable } from '../../../lib/postgres/queryable.ts';

/** Those of the ids that are no workspace. */
export const missingWorkspaces = async (db: Queryable, ids: readonly string[]): Promise<readonly string[]> => {
  const { rows } = await db.query<{ id: string }>(
    `SELECT given.id::text AS id FROM unnest($1::uuid[]) AS given (id)
     WHERE NOT EXISTS (SELECT FROM treadle.workspaces AS w WHERE w.id = given.id)`,
    [ids],
  );
  return rows.map(({ id }) => id);
};
