import { setTimeout as delay } from 'node:timers/promises';
import type { Platform } from '../../platform.ts';

export interface RedriveOptions {
  readonly ratePerSecond: number;
  readonly signal: AbortSignal;
  /** Called after each step with the number redriven so far. */
  readonly onStep: (redriven: number) => void;
}

const stepMs = 1_000;

/** Redrives what matches the filter, one second's worth at a time, until nothing is left; answers how many. */
export const redriveAtRate = async (
  deadLetters: Platform['deadLetters'],
  filter: Parameters<Platform['deadLetters']['redrive']>[0],
  { ratePerSecond, signal, onStep }: RedriveOptions,
): Promise<number> => {
  for (let redriven = 0; ;) {
    signal.throwIfAborted();
    const startedAt = performance.now();
    const step = await deadLetters.redrive(filter, ratePerSecond);
    if (step === 0) return redriven;
    redriven += step;
    onStep(redriven);
    await delay(Math.max(0, stepMs - (performance.now() - startedAt)), undefined, { signal });
  }
};
