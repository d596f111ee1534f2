import type { SearchBackend } from '../../src/domain/search/search-port.ts';
import { searchModes, type SearchMode } from '../../src/domain/search/types.ts';
import { inLanes } from './in-lanes.ts';
import type { JudgedWorkspace } from './judged-workspace.ts';
import { mean, ndcgAt, reciprocalRankAt } from './ranking-metrics.ts';
import type { JudgedQuery } from './read-judged-set.ts';

/** How many answers are looked at. */
const depth = 10;

export interface Quality {
  /** nDCG@10. */
  readonly ndcg: number;
  /** The reciprocal rank of the first good answer of ten; their mean is the MRR. */
  readonly mrr: number;
}

export interface ModeFigures extends Quality {
  readonly queries: Readonly<Record<string, Quality>>;
}

/** What one backend reaches in each mode. */
export type BackendFigures = Readonly<Record<SearchMode, ModeFigures>>;

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;

const qualityOf = (answered: readonly number[], { grades }: JudgedQuery): Quality => ({
  ndcg: rounded(ndcgAt(depth, answered, Object.values(grades))),
  mrr: rounded(reciprocalRankAt(depth, answered)),
});

/** The mean over some of the queries. */
export const meanQuality = (qualities: readonly Quality[]): Quality => ({
  ndcg: rounded(mean(qualities.map(({ ndcg }) => ndcg))),
  mrr: rounded(mean(qualities.map(({ mrr }) => mrr))),
});

const measureMode = async (
  { workspaceId, names, searchIn }: JudgedWorkspace,
  backend: SearchBackend,
  queries: readonly JudgedQuery[],
  mode: SearchMode,
): Promise<ModeFigures> => {
  const search = searchIn(backend);
  const qualities = await inLanes(queries, async (judged): Promise<readonly [string, Quality]> => {
    const { hits, degraded } = await search.search({ workspaceId, query: judged.query, mode, limit: depth });
    if (degraded) throw new Error(`the ${mode} search for "${judged.query}" was answered without its vector`);
    const answered = hits.map(({ id }) => judged.grades[names.get(id) ?? ''] ?? 0);
    return [judged.query, qualityOf(answered, judged)];
  });
  return { ...meanQuality(qualities.map(([, quality]) => quality)), queries: Object.fromEntries(qualities) };
};

/**
 * Asks a backend every query of the judged set in every mode.
 * @throws Error where a search was answered with less than was asked for, and the errors of the search.
 */
export const measureRelevance = async (
  workspace: JudgedWorkspace,
  backend: SearchBackend,
  queries: readonly JudgedQuery[],
): Promise<BackendFigures> => {
  const measured: [SearchMode, ModeFigures][] = [];
  for (const mode of searchModes) measured.push([mode, await measureMode(workspace, backend, queries, mode)]);
  return Object.fromEntries(measured) as BackendFigures;
};
