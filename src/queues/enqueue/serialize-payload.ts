import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { isStorable } from '../../lib/text/storable.ts';

const unstorable = 'contains NUL or half of a surrogate pair, which Postgres cannot store';
const maxDepth = 200;

/**
 * What keeps a value from being written as JSON that Postgres and Redis can both keep: a cycle, a BigInt, text with NUL or
 * half of a surrogate pair. Walks the value instead of its JSON, which costs a tenth.
 */
export const jsonFault = (value: unknown, path = '', depth = 0): Fault | undefined => {
  if (typeof value === 'string') return isStorable(value) ? undefined : { path, message: unstorable };
  if (typeof value === 'bigint') return { path, message: 'cannot be written as JSON: it is a BigInt' };
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > maxDepth)
    return { path, message: `cannot be written as JSON: it is cyclic or nested deeper than ${maxDepth} levels` };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const fault = jsonFault(value[index], `${path}[${index}]`, depth + 1);
      if (fault) return fault;
    }
    return undefined;
  }
  for (const [key, inner] of Object.entries(value)) {
    if (!isStorable(key)) return { path, message: `has a name that ${unstorable}` };
    const fault = jsonFault(inner, path === '' ? key : `${path}.${key}`, depth + 1);
    if (fault) return fault;
  }
  return undefined;
};

export type Serialized = { readonly json: string } | { readonly faults: readonly Fault[] };

/** A value as JSON text that Postgres and Redis can both keep, or what is in the way. */
export const serializeJson = (value: unknown): Serialized => {
  const fault = jsonFault(value);
  if (fault) return { faults: [fault] };
  // Undefined for a value that JSON has no word for, such as a function.
  const json: unknown = JSON.stringify(value);
  return typeof json === 'string' ? { json } : { faults: [{ path: '', message: 'cannot be written as JSON' }] };
};

/** @throws AppError VALIDATION_ERROR naming the path. */
export const serializeOrThrow = (value: unknown, subject: string): string => {
  const serialized = serializeJson(value);
  if ('faults' in serialized) throw validationError(subject, serialized.faults);
  return serialized.json;
};
