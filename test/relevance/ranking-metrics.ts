const gainOf = (grade: number): number => 2 ** grade - 1;

const discounted = (grades: readonly number[]): number =>
  grades.reduce((sum, grade, index) => sum + gainOf(grade) / Math.log2(index + 2), 0);

/**
 * The normalised discounted cumulative gain of the first `depth` answers, from 0 to 1 (Järvelin and Kekäläinen 2002, with
 * the gains 2^grade - 1 of Burges et al. 2005 and the discount log2(place + 1)): what the order is worth, by what the best
 * order of all judged documents would be. `answered` are the grades of the answers in their order, 0 for what was not
 * judged; `judged` those of all judged documents, in any order. 0 where nothing is worth anything.
 */
export const ndcgAt = (depth: number, answered: readonly number[], judged: readonly number[]): number => {
  const ideal = discounted(judged.toSorted((a, b) => b - a).slice(0, depth));
  return ideal === 0 ? 0 : discounted(answered.slice(0, depth)) / ideal;
};

/** The least grade of an answer that somebody would be content with. */
const goodGrade = 2;

/**
 * 1 by the place of the first answer of grade 2 or more among the first `depth`, 0 where there is none (Voorhees 1999);
 * its mean over queries is the MRR.
 */
export const reciprocalRankAt = (depth: number, answered: readonly number[]): number => {
  const index = answered.slice(0, depth).findIndex((grade) => grade >= goodGrade);
  return index === -1 ? 0 : 1 / (index + 1);
};

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
