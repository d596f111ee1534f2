/** Runs `work` and answers how many of `count` it did a second. */
export const perSecond = async (count: number, work: () => Promise<void>): Promise<number> => {
  const startedAt = performance.now();
  await work();
  return (count * 1_000) / (performance.now() - startedAt);
};

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
};

export const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

export interface Comparison {
  readonly treadle: number;
  readonly raw: number;
  readonly ratio: number;
}

/**
 * Two contestants measured in turns, so that a machine that changes its pace is fair to both. The ratio is the median of the
 * rounds' own ratios, whose halves were measured one right after the other; the rates are medians too. One round more is run
 * first, and not counted, in which code is compiled and caches fill.
 */
export const compare = async (
  rounds: number,
  contestants: { readonly treadle: () => Promise<number>; readonly raw: () => Promise<number> },
): Promise<Comparison> => {
  const seen: { readonly treadle: number; readonly raw: number }[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const treadleFirst = round % 2 === 0;
    const before = treadleFirst ? undefined : await contestants.raw();
    const treadle = await contestants.treadle();
    const raw = before ?? (await contestants.raw());
    if (round > 0) seen.push({ treadle, raw });
  }
  return {
    treadle: median(seen.map(({ treadle }) => treadle)),
    raw: median(seen.map(({ raw }) => raw)),
    ratio: median(seen.map(({ treadle, raw }) => treadle / raw)),
  };
};
