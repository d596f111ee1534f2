import type { z } from 'zod';
import { validationError, type Fault } from './app-error.ts';

const formatPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${String(part)}` : String(part)),
    '',
  );

/** Every issue zod found, each with its path in the input. */
export const faultsOf = (error: z.ZodError, prefix: readonly PropertyKey[] = []): Fault[] =>
  error.issues.map((issue) => ({ path: formatPath([...prefix, ...issue.path]), message: issue.message }));

/** Parses `input`, or throws VALIDATION_ERROR naming every fault. `subject` says whose input it is ("the payload of x"). */
export const parseOrThrow = <T>(schema: z.ZodType<T>, input: unknown, subject: string): T => {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw validationError(subject, faultsOf(parsed.error));
  return parsed.data;
};
