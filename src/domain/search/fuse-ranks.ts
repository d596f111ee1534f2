/** How little the first places count more than the next; 60 is the value of the paper. */
const smoothing = 60;

/**
 * Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): each ranking gives an id 1 / (60 + its place). Answers the
 * score of every id in any of the rankings.
 */
export const fuseRanks = (rankings: readonly (readonly string[])[]): ReadonlyMap<string, number> => {
  const scores = new Map<string, number>();
  for (const ranking of rankings) {
    for (const [index, id] of ranking.entries()) {
      scores.set(id, (scores.get(id) ?? 0) + 1 / (smoothing + index + 1));
    }
  }
  return scores;
};
