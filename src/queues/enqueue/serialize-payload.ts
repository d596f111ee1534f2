import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { isStorable } from '../../lib/text/storable.ts';

// JSON.stringify writes NUL and lone surrogates as these escapes; an even number of backslashes before one means that
// the text itself spelled the escape out.
const unstorable = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** Where in a JSON value the first text with NUL or half of a surrogate pair lies. */
const pathOfUnstorable = (value: unknown, path: string): string | undefined => {
  if (typeof value === 'string') return isStorable(value) ? undefined : path;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const here = Array.isArray(value) ? `${path}[${key}]` : path ? `${path}.${key}` : key;
    if (!isStorable(key)) return path;
    const found = pathOfUnstorable(inner, here);
    if (found !== undefined) return found;
  }
  return undefined;
};

export type Serialized = { readonly json: string } | { readonly faults: readonly Fault[] };

/**
 * A value as JSON text that Postgres and Redis can both keep, or what is in the way: a cycle, a BigInt, NUL, half of a
 * surrogate pair.
 */
export const serializeJson = (value: unknown): Serialized => {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    const message =
      error instanceof TypeError
        ? 'cannot be written as JSON: it is cyclic or holds a BigInt'
        : 'cannot be written as JSON: it is nested too deeply';
    return { faults: [{ path: '', message }] };
  }
  if (json === undefined) return { faults: [{ path: '', message: 'cannot be written as JSON' }] };
  if (json.includes('\\u') && unstorable.test(json)) {
    return {
      faults: [
        {
          path: pathOfUnstorable(value, '') ?? '',
          message: 'contains NUL or half of a surrogate pair, which Postgres cannot store',
        },
      ],
    };
  }
  return { json };
};

/** @throws AppError VALIDATION_ERROR naming the path. */
export const serializeOrThrow = (value: unknown, subject: string): string => {
  const serialized = serializeJson(value);
  if ('faults' in serialized) throw validationError(subject, serialized.faults);
  return serialized.json;
};
