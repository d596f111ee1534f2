import type { Backoff } from '../../queues/define-job.ts';

/** How long to wait after the given failed attempt (1 for the first). `random` is in [0, 1). */
export const backoffMs = (backoff: Backoff, attempt: number, random: number = Math.random()): number => {
  const { delayMs, jitter = 0 } = backoff;
  const fullMs =
    backoff.type === 'fixed'
      ? delayMs
      : Math.min(backoff.maxDelayMs ?? 86_400_000, delayMs * 2 ** Math.min(attempt - 1, 40));
  return Math.round(fullMs * (1 - jitter * random));
};
