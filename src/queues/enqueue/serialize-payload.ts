import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { isStorable } from '../../lib/text/storable.ts';
import { sizeFault } from './payload-size.ts';

const unstorable = 'contains NUL or half of a surrogate pair, which Postgres cannot store';
const maxDepth = 200;
const maxPathLength = 60;

/** What a value takes as JSON at most, counted up while it is walked. */
export interface JsonTally {
  atMostBytes: number;
}

/** A character takes six bytes at most, when it has to be escaped. */
const charBytes = 6;
const numberBytes = 30;

/**
 * What keeps a value from being written as JSON that Postgres and Redis can both keep: a cycle, a BigInt, text with NUL or
 * half of a surrogate pair. Walks the value instead of its JSON, which costs a tenth.
 */
export const jsonFault = (value: unknown, tally: JsonTally, path = '', depth = 0): Fault | undefined => {
  if (typeof value === 'string') {
    tally.atMostBytes += (value.length + 1) * charBytes;
    return isStorable(value) ? undefined : { path, message: unstorable };
  }
  tally.atMostBytes += numberBytes;
  if (typeof value === 'bigint') return { path, message: 'cannot be written as JSON: it is a BigInt' };
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > maxDepth)
    return {
      path: `${path.slice(0, maxPathLength)}…`,
      message: `cannot be written as JSON: it is cyclic or nested deeper than ${maxDepth} levels`,
    };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const fault = jsonFault(value[index], tally, `${path}[${index}]`, depth + 1);
      if (fault) return fault;
    }
    return undefined;
  }
  // What it writes of itself may be longer than what is seen of it here.
  if ('toJSON' in value && !(value instanceof Date)) tally.atMostBytes = Number.POSITIVE_INFINITY;
  for (const [key, inner] of Object.entries(value)) {
    tally.atMostBytes += (key.length + 1) * charBytes;
    if (!isStorable(key)) return { path, message: `has a name that ${unstorable}` };
    const fault = jsonFault(inner, tally, path === '' ? key : `${path}.${key}`, depth + 1);
    if (fault) return fault;
  }
  return undefined;
};

export type Serialized = { readonly json: string } | { readonly faults: readonly Fault[] };

/** A value as JSON text that Postgres and Redis can both keep, or what is in the way. */
export const serializeJson = (value: unknown): Serialized => {
  const tally = { atMostBytes: 0 };
  const fault = jsonFault(value, tally);
  if (fault) return { faults: [fault] };
  // Undefined for a value that JSON has no word for, such as a function.
  const json: unknown = JSON.stringify(value);
  if (typeof json !== 'string') return { faults: [{ path: '', message: 'cannot be written as JSON' }] };
  const tooLarge = sizeFault(Buffer.byteLength(json), '');
  return tooLarge ? { faults: [tooLarge] } : { json };
};

/** @throws AppError VALIDATION_ERROR naming the path. */
export const serializeOrThrow = (value: unknown, subject: string): string => {
  const serialized = serializeJson(value);
  if ('faults' in serialized) throw validationError(subject, serialized.faults);
  return serialized.json;
};
