import { AppError } from '../../lib/errors/app-error.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Person } from '../users/types.ts';

const maxRounds = 3;

const keyOf = ({ name, email }: Person): string => JSON.stringify(email === undefined ? [name] : [name, email]);

/**
 * The ids of the authors of many documents in a workspace, in the order given; those whom it does not know are made there.
 * Undefined for a document without one.
 */
export const authorIds = async (
  tx: Queryable,
  workspaceId: string,
  authors: readonly (Person | undefined)[],
): Promise<readonly (string | undefined)[]> => {
  const keys = authors.map((author) => author && keyOf(author));
  const people = new Map(authors.flatMap((author, index) => (author ? [[keys[index], author] as const] : [])));
  if (people.size === 0) return authors.map(() => undefined);
  const given = [...people.values()];
  const values = [workspaceId, given.map(({ name }) => name), given.map(({ email }) => email ?? null)];
  // Somebody else may make the same people: the next round sees them.
  for (let round = 0; round < maxRounds; round += 1) {
    const { rows } = await tx.query<{ id: string | null }>(
      loadSql(new URL('./author-ids.sql', import.meta.url)),
      values,
    );
    const ids = new Map([...people.keys()].map((key, index) => [key, rows[index]?.id ?? undefined]));
    if (rows.every(({ id }) => id !== null)) return keys.map((key) => key && ids.get(key));
  }
  throw new AppError(
    'DATA_CONSISTENCY_ERROR',
    'an author was removed meanwhile',
    { entity: 'user' },
    { retryable: true },
  );
};
