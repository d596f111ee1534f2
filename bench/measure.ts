import { percentile } from '../src/lib/telemetry/percentile.ts';

export { percentile };

/** Runs `work` and answers how many of `count` it did a second. */
export const perSecond = async (count: number, work: () => Promise<unknown>): Promise<number> => {
  const startedAt = performance.now();
  await work();
  return (count * 1_000) / (performance.now() - startedAt);
};

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** What one contestant reached. */
export interface Standing {
  readonly name: string;
  readonly value: number;
  /** The best of its rounds. */
  readonly best?: number;
  /** The first contestant's value by this one's. */
  readonly ratio?: number;
}

export interface Turn {
  readonly name: string;
  readonly run: () => Promise<number>;
}

/**
 * Contestants measured in turns, there and back again, so that a machine that changes its pace is fair to all. The ratio is
 * the median of the rounds' own ratios, whose halves were measured close to each other; the rates are medians too. One round
 * more is run first, and not counted, in which code is compiled and caches fill.
 */
export const compare = async (rounds: number, turns: readonly Turn[]): Promise<readonly Standing[]> => {
  const seen: number[][] = turns.map(() => []);
  for (let round = 0; round <= rounds; round += 1) {
    const order = [...turns.entries()];
    for (const [index, turn] of round % 2 === 0 ? order : order.toReversed()) {
      const rate = await turn.run();
      if (round > 0) seen[index]?.push(rate);
    }
  }
  const first = seen[0] ?? [];
  return turns.map(({ name }, index) => {
    const rates = seen[index] ?? [];
    return {
      name,
      value: median(rates),
      best: Math.max(...rates),
      ...(index === 0 ? {} : { ratio: median(rates.map((rate, round) => (first[round] ?? Number.NaN) / rate)) }),
    };
  });
};
