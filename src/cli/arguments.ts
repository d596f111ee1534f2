import { readFileSync } from 'node:fs';
import type { PathFilter } from '../lib/json/path-filter.ts';
import { InvalidArgumentError, Option } from 'commander';

/** Parsers of arguments; what they throw ends the command with exit code 2. */

export const wholeNumber =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Must be a whole number from ${min} to ${max}.`);
  };

export const time = (text: string): Date => {
  const value = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(value.getTime())) {
    throw new InvalidArgumentError('Must be a time such as 2026-01-31T09:00:00Z.');
  }
  return value;
};

export const uuid = (text: string): string => {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('Must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057.');
};

const secondsUpTo =
  (most: number) =>
  (text: string): number => {
    const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= 0 && value <= most) return Math.round(value * 1_000);
    throw new InvalidArgumentError(`Must be a number of seconds from 0 to ${most}.`);
  };

/** Seconds as written (`90`, `1.5`), up to a day, in milliseconds. */
export const seconds = secondsUpTo(86_400);

/** The same, up to the longest delay or interval there is, a year. */
export const delaySeconds = secondsUpTo(366 * 86_400);

/** So many in so many seconds: `600/60`. */
export const rate = (text: string): { readonly max: number; readonly perMs: number } => {
  const [, max, perSeconds] = /^(\d+)\/(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  const found = { max: Number(max), perMs: Math.round(Number(perSeconds) * 1_000) };
  if (found.max > 0 && found.perMs > 0) return found;
  throw new InvalidArgumentError('Must be a number of jobs and of seconds, such as 600/60.');
};

/** An option in seconds, with a default, that is handed on in milliseconds. */
export const secondsOption = (flags: string, description: string, standard: number): Option =>
  new Option(flags, description).argParser(seconds).default(standard * 1_000, String(standard));

export const several = (text: string, given: readonly string[] | undefined): readonly string[] => [
  ...(given ?? []),
  text,
];

const isScalar = (value: unknown): value is PathFilter[string] =>
  value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

const asJsonOrText = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** `order.customerId=c7`, added to those given before. A value that is JSON is what it says: 7, true, null, "7". */
export const pathAndValue = (text: string, given: PathFilter | undefined): PathFilter => {
  const [, path, written] = /^([^.=]+(?:\.[^.=]+)*)=(.*)$/s.exec(text) ?? [];
  const value = written === undefined ? undefined : asJsonOrText(written);
  if (path !== undefined && isScalar(value)) return { ...given, [path]: value };
  throw new InvalidArgumentError('Must be a path and a value, such as order.customerId=c7, total=7 or express=true.');
};

export type JsonObject = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A JSON object, given as text or as `-` for standard input. */
export const jsonObject = (text: string): JsonObject => {
  let value: unknown;
  try {
    value = JSON.parse(text === '-' ? readFileSync(0, 'utf8') : text);
  } catch {
    throw new InvalidArgumentError(
      'Must be valid JSON, such as \'{"key": "value"}\', or - to read it from standard input.',
    );
  }
  if (isObject(value)) return value;
  throw new InvalidArgumentError('Must be a JSON object.');
};
