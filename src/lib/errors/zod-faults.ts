import type { z } from 'zod';
import { validationError, type Fault } from './app-error.ts';
import { inWords } from './zod-words.ts';

const formatPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${String(part)}` : String(part)),
    '',
  );

/** Every issue zod found, each with its path in the input. An unknown field is a fault of that field. */
export const faultsOf = (error: z.ZodError, prefix: readonly PropertyKey[] = []): Fault[] =>
  error.issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    return issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: formatPath([...path, key]), message: 'is not a known field' }))
      : { path: formatPath(path), message: issue.message };
  });

/** As the schema's own `safeParse`, with what is wrong said in sentences where the schema has no words of its own. */
export const safeParse = <T>(schema: z.ZodType<T>, input: unknown): z.ZodSafeParseResult<T> => {
  const parsed = schema.safeParse(input);
  // What fits, as nearly all does, need not carry the words along.
  return parsed.success ? parsed : schema.safeParse(input, { error: inWords });
};

/** Parses `input`, or throws VALIDATION_ERROR naming every fault. `subject` says whose input it is ("the payload of x"). */
export const parseOrThrow = <T>(schema: z.ZodType<T>, input: unknown, subject: string): T => {
  const parsed = safeParse(schema, input);
  if (!parsed.success) throw validationError(subject, faultsOf(parsed.error));
  return parsed.data;
};
