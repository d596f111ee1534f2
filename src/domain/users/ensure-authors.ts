import { AppError } from '../../lib/errors/app-error.ts';
import { kyselyThrough } from '../../lib/postgres/kysely-through.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { MemberRepository } from './member-repository.ts';
import type { Person } from './types.ts';

/** The ids of people in a workspace, in the order given; those it does not know yet are made there. */
export const ensureAuthors = async (
  db: Queryable,
  workspaceId: string,
  people: readonly Person[],
): Promise<readonly string[]> => {
  if (people.length === 0) return [];
  const members = new MemberRepository(kyselyThrough(db));
  const known = await members.idsOf(workspaceId, people);
  const unknown = people.filter((_, index) => known[index] === null);
  if (unknown.length > 0) await members.createUnknown(workspaceId, unknown);
  const found = unknown.length > 0 ? await members.idsOf(workspaceId, people) : known;
  return found.map((id) => {
    if (id === null)
      throw new AppError('DATA_CONSISTENCY_ERROR', 'an author was removed meanwhile', { entity: 'user' });
    return id;
  });
};
