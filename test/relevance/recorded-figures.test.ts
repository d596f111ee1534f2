import { describe, expect, it } from 'vitest';
import type { BackendFigures, Quality } from './measure-relevance.ts';
import { readJudgedSet } from './read-judged-set.ts';
import { movedFigures, readFigures } from './recorded-figures.ts';

const figures = (keyword: Readonly<Record<string, Quality>>, mean: Quality): BackendFigures => {
  const still = { ndcg: 0.5, mrr: 0.5, queries: { a: { ndcg: 0.5, mrr: 0.5 } } };
  return { keyword: { ...mean, queries: keyword }, semantic: still, hybrid: still };
};
const recorded = figures({ a: { ndcg: 1, mrr: 1 }, b: { ndcg: 0.6, mrr: 0.5 } }, { ndcg: 0.8, mrr: 0.75 });

describe('recorded figures', () => {
  it('are kept by what differs by no more than a hundredth', () => {
    const near = figures({ a: { ndcg: 0.992, mrr: 1 }, b: { ndcg: 0.608, mrr: 0.5 } }, { ndcg: 0.8, mrr: 0.75 });
    expect([movedFigures(recorded, recorded), movedFigures(recorded, near)]).toEqual([[], []]);
  });

  it('tell which mode and which queries moved, the worst first, and which way', () => {
    const moved = figures({ a: { ndcg: 0.5, mrr: 0.3333 }, b: { ndcg: 1, mrr: 1 } }, { ndcg: 0.75, mrr: 0.6667 });
    expect(movedFigures(recorded, moved)).toEqual([
      'keyword: nDCG@10 0.800 -> 0.750, MRR 0.750 -> 0.667, worse',
      '  "a": nDCG@10 1.000 -> 0.500, MRR 1.000 -> 0.333, worse',
      '  "b": nDCG@10 0.600 -> 1.000, MRR 0.500 -> 1.000, better',
    ]);
  });

  it('are not kept by queries that changed places with each other', () => {
    const swapped = figures({ a: { ndcg: 0.6, mrr: 0.5 }, b: { ndcg: 1, mrr: 1 } }, { ndcg: 0.8, mrr: 0.75 });
    expect(movedFigures(recorded, swapped)).toEqual([
      'keyword: nDCG@10 0.800 -> 0.800, MRR 0.750 -> 0.750, about the same',
      '  "a": nDCG@10 1.000 -> 0.600, MRR 1.000 -> 0.500, worse',
      '  "b": nDCG@10 0.600 -> 1.000, MRR 0.500 -> 1.000, better',
    ]);
  });

  it('name queries that were added or taken away', () => {
    const other = figures({ a: { ndcg: 1, mrr: 1 }, c: { ndcg: 0.6, mrr: 0.5 } }, { ndcg: 0.8, mrr: 0.75 });
    expect(movedFigures(recorded, other).slice(1)).toEqual(['  "b": recorded, but not asked', '  "c": not recorded']);
  });

  it('are of the queries that are judged', async () => {
    const { queries } = await readJudgedSet();
    const asked = queries.map(({ query }) => query);
    for (const backend of Object.values(await readFigures())) {
      for (const mode of Object.values(backend)) expect(Object.keys(mode.queries)).toEqual(asked);
    }
  });
});

it('every judged query has an answer that somebody would be content with', async () => {
  const { documents, queries } = await readJudgedSet();
  expect(documents.length).toBeGreaterThan(700);
  expect(queries.filter(({ grades }) => !Object.values(grades).some((grade) => grade > 1))).toEqual([]);
});
