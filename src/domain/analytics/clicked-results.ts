import type { SearchClick } from './types.ts';

/** Of one search; further ones are taken for noise. */
const mostClicks = 100;

/** A document that was opened, as its search keeps it. */
export interface ClickedResult {
  readonly documentId: string;
  readonly position: number;
  readonly clickedAt: Date | string;
}

/** What clicks add to what their search has: each document once, in the order of the clicks, up to a hundred in all. */
export const newResults = (
  kept: readonly Pick<ClickedResult, 'documentId'>[],
  clicks: readonly SearchClick[],
): readonly ClickedResult[] => {
  const seen = new Set(kept.map(({ documentId }) => documentId));
  const added: ClickedResult[] = [];
  const inOrder = clicks.toSorted((a, b) => a.clickedAt.getTime() - b.clickedAt.getTime());
  for (const { documentId, position, clickedAt } of inOrder) {
    if (seen.has(documentId) || seen.size >= mostClicks) continue;
    seen.add(documentId);
    added.push({ documentId, position, clickedAt });
  }
  return added;
};
