import type { z } from 'zod';
import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';

/** @throws AppError VALIDATION_ERROR naming the faults of all, each with its place in the batch if that is of several. */
export const parseAll = <T>(schema: z.ZodType<T>, inputs: readonly unknown[], subject: string): readonly T[] => {
  const faults: Fault[] = [];
  const parsed: T[] = [];
  for (const [index, input] of inputs.entries()) {
    const result = safeParse(schema, input);
    if (result.success) parsed.push(result.data);
    else if (inputs.length === 1) faults.push(...faultsOf(result.error));
    else faults.push(...faultsOf(result.error, [index]).map((fault) => ({ ...fault, index })));
  }
  if (faults.length > 0) throw validationError(`the ${subject}`, faults);
  return parsed;
};
