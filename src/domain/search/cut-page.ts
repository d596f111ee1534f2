import type { SearchPosition } from './search-port.ts';
import type { SearchSort } from './types.ts';

/** A ranked document with everything it can be ordered by. */
export interface Candidate {
  readonly id: string;
  readonly score: number;
  /** As the backend writes times: in the order of time. */
  readonly updatedAt: string | number;
  readonly titleKey: string;
}

export interface PageCut {
  readonly sort: SearchSort;
  readonly limit: number;
  readonly offset: number;
  readonly after?: SearchPosition | undefined;
}

/** How many candidates a vector or fused ranking holds. */
export const mostCandidates = 1_000;

const compareKeys = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);

const keyOf = ({ score, updatedAt, titleKey }: Candidate, sort: SearchSort): string | number =>
  ({ relevance: score, newest: updatedAt, oldest: updatedAt, title: titleKey })[sort];

/** A page of the best 1,000 candidates, in any order; its positions are the key that sorts and the id. */
export const cutPage = <C extends Candidate>(
  candidates: readonly C[],
  { sort, limit, offset, after }: PageCut,
): { readonly page: readonly C[]; readonly next: SearchPosition | null } => {
  const sign = sort === 'relevance' || sort === 'newest' ? -1 : 1;
  const compare = (a: SearchPosition, b: SearchPosition): number =>
    sign * (compareKeys(a[0] ?? 0, b[0] ?? 0) || compareKeys(a[1] ?? '', b[1] ?? ''));
  const placed = candidates
    .toSorted((a, b) => b.score - a.score || compareKeys(b.id, a.id))
    .slice(0, mostCandidates)
    .map((candidate) => ({ candidate, position: [keyOf(candidate, sort), candidate.id] }))
    .toSorted((a, b) => compare(a.position, b.position))
    .filter(({ position }) => after === undefined || compare(position, after) > 0);
  const page = placed.slice(offset, offset + limit);
  const last = placed.length > offset + limit ? page.at(-1) : undefined;
  return { page: page.map(({ candidate }) => candidate), next: last?.position ?? null };
};
