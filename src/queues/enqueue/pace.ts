import type { Fault } from '../../lib/errors/app-error.ts';
import type { JobContract } from '../define-job.ts';
import type { ParsedOptions } from './enqueue-options.ts';

/** How runs of one deduplication key are spaced out. */
export type Pace =
  | { readonly debounceMs: number; readonly debounceMaxMs: number | undefined }
  | { readonly throttleMs: number };

/** What the options ask for, else what the contract does; a time of the call's own, or 0, is without either. */
export const paceOf = (contract: JobContract, options: ParsedOptions): Pace | undefined => {
  const isGiven = options.debounceMs !== undefined || options.throttleMs !== undefined;
  // A child belongs to one parent, so it never stands for another job.
  if (options.delayMs !== undefined || options.runAt !== undefined || (options.parent !== undefined && !isGiven))
    return undefined;
  const { debounceMs, throttleMs } = isGiven ? options : contract;
  if (throttleMs !== undefined) return throttleMs === 0 ? undefined : { throttleMs };
  if (debounceMs === undefined || debounceMs === 0) return undefined;
  return { debounceMs, debounceMaxMs: options.debounceMaxMs ?? contract.debounceMaxMs };
};

/** Options that cannot be kept: there is nothing to tell one run of the job from another by, or the longest wait is the shorter one. */
export const faultsOfPace = (
  pace: Pace | undefined,
  contract: JobContract,
  options: ParsedOptions,
): readonly Fault[] => {
  const { debounceMaxMs } = options;
  if (debounceMaxMs !== undefined && (!pace || 'throttleMs' in pace || debounceMaxMs < pace.debounceMs))
    return [{ path: 'options.debounceMaxMs', message: 'must be at least debounceMs, and stand beside it' }];
  const option = pace && 'throttleMs' in pace ? 'throttleMs' : 'debounceMs';
  if (pace && options.parent !== undefined)
    return [{ path: `options.${option}`, message: 'is not for a job with a parent' }];
  if (!pace || options.deduplicationKey !== undefined || contract.deduplicateBy.length > 0) return [];
  return [
    {
      path: `options.${option}`,
      message: 'needs options.deduplicationKey, since the job has no deduplicateBy',
    },
  ];
};
