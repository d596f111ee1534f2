import fs from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { SearchBackend } from '../../src/domain/search/search-port.ts';
import { searchModes } from '../../src/domain/search/types.ts';
import type { BackendFigures, Quality } from './measure-relevance.ts';

const file = path.join(import.meta.dirname, 'figures.json');
const tolerance = 0.01;

/** How figures are recorded anew, where they moved on purpose. */
export const recordCommand =
  'RECORD_RELEVANCE=true npx vitest run --project search test/domain/search/relevance.test.ts';

const pair = z.tuple([z.number(), z.number()]).transform(([ndcg, mrr]): Quality => ({ ndcg, mrr }));
const modeShape = z
  .strictObject({ mean: pair, queries: z.record(z.string(), pair) })
  .transform(({ mean, queries }) => ({ ...mean, queries }));
const figuresShape = z.partialRecord(
  z.enum(['postgres', 'elasticsearch']),
  z.strictObject({ keyword: modeShape, semantic: modeShape, hybrid: modeShape }),
);
type RecordedFigures = Readonly<Partial<Record<SearchBackend['name'], BackendFigures>>>;

/** What test/relevance/figures.json says. */
export const readFigures = async (): Promise<RecordedFigures> =>
  figuresShape.parse(JSON.parse(await fs.readFile(file, 'utf8')));

const asPair = ({ ndcg, mrr }: Quality): readonly number[] => [ndcg, mrr];

const asJson = (figures: BackendFigures): unknown =>
  Object.fromEntries(
    searchModes.map((mode) => {
      const { queries, ...mean } = figures[mode];
      const byQuery = Object.entries(queries).map(([query, quality]) => [query, asPair(quality)]);
      return [mode, { mean: asPair(mean), queries: Object.fromEntries(byQuery) as unknown }];
    }),
  );

/** Keeps the figures of one backend: of each mode and query [nDCG@10, MRR], a line each. */
export const recordFigures = async (backend: SearchBackend['name'], figures: BackendFigures): Promise<void> => {
  const all = { ...(await readFigures().catch((): RecordedFigures => ({}))), [backend]: figures };
  const written = Object.entries(all).map(([name, each]) => [name, asJson(each)]);
  const text = JSON.stringify(Object.fromEntries(written), null, 2);
  await fs.writeFile(file, `${text.replaceAll(/\[\s+([\d.]+),\s+([\d.]+)\s+\]/g, '[$1, $2]')}\n`);
};

const hasMoved = (before: Quality, now: Quality): boolean =>
  Math.abs(now.ndcg - before.ndcg) > tolerance || Math.abs(now.mrr - before.mrr) > tolerance;

const moveText = (before: Quality, now: Quality): string => {
  const change = now.ndcg - before.ndcg || now.mrr - before.mrr;
  const from = (key: keyof Quality): string => `${before[key].toFixed(3)} -> ${now[key].toFixed(3)}`;
  const way = change < 0 ? 'worse' : 'better';
  return `nDCG@10 ${from('ndcg')}, MRR ${from('mrr')}, ${hasMoved(before, now) ? way : 'about the same'}`;
};

/**
 * What differs by more than 0.01 from what was recorded: a line for the mean of a mode and for each of its queries, those
 * that lost most first. Empty where nothing does.
 */
export const movedFigures = (recorded: BackendFigures, measured: BackendFigures): readonly string[] =>
  searchModes.flatMap((mode) => {
    const { queries: before, ...meanBefore } = recorded[mode];
    const { queries: now, ...meanNow } = measured[mode];
    const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    const moved = names.flatMap((query) => {
      const [was, is] = [before[query], now[query]];
      if (!was || !is) return [{ change: 0, text: `  "${query}": ${is ? 'not recorded' : 'recorded, but not asked'}` }];
      return hasMoved(was, is) ? [{ change: is.ndcg - was.ndcg, text: `  "${query}": ${moveText(was, is)}` }] : [];
    });
    if (moved.length === 0 && !hasMoved(meanBefore, meanNow)) return [];
    const lines = moved.toSorted((a, b) => a.change - b.change).map(({ text }) => text);
    return [`${mode}: ${moveText(meanBefore, meanNow)}`, ...lines];
  });
