import { z } from 'zod';

/** Whether Postgres can keep the text: no NUL, no half of a surrogate pair. */
export const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

const unstorable = 'contains NUL or half of a surrogate pair';
const maxDepth = 32;

/** Any text that Postgres can keep, up to `maxLength` characters. */
export const storableText = (maxLength: number) =>
  z
    .string({ error: 'must be text' })
    .max(maxLength, `must have at most ${maxLength} characters`)
    .refine(isStorable, unstorable);

/** A name of one line: trimmed, composed (NFC), not empty, without control characters. */
export const lineOfText = (maxLength: number) =>
  z
    .string({ error: 'must be text' })
    .trim()
    .normalize('NFC')
    .min(1, 'must not be empty')
    .max(maxLength, `must have at most ${maxLength} characters`)
    .refine(isStorable, unstorable)
    .refine((text) => text.includes('\0') || !/\p{Cc}/u.test(text), 'must be one line without control characters');

type Fault = { readonly path: readonly (string | number)[]; readonly message: string };

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const faultOf = (value: unknown, path: readonly (string | number)[]): Fault | undefined => {
  if (typeof value === 'string') return isStorable(value) ? undefined : { path, message: unstorable };
  if (typeof value === 'number')
    return Number.isFinite(value) ? undefined : { path, message: 'must be a finite number' };
  if (typeof value === 'boolean' || value === null || value === undefined) return undefined;
  if (typeof value !== 'object' || (!Array.isArray(value) && !isPlain(value))) {
    return { path, message: 'must be a JSON value' };
  }
  if (path.length >= maxDepth) return { path, message: `is nested deeper than ${maxDepth} levels` };
  for (const [key, inner] of Object.entries(value)) {
    if (!isStorable(key)) return { path, message: `has a name that ${unstorable}` };
    const fault = faultOf(inner, [...path, Array.isArray(value) ? Number(key) : key]);
    if (fault) return fault;
  }
  return undefined;
};

const jsonFault = (value: unknown, maxBytes: number): Fault | undefined => {
  const fault = faultOf(value, []);
  if (fault) return fault;
  const bytes = Buffer.byteLength(JSON.stringify(value) ?? '');
  return bytes > maxBytes ? { path: [], message: `must take at most ${maxBytes} bytes as JSON` } : undefined;
};

/** A JSON object that Postgres can keep, up to `maxBytes` as text and 32 levels deep. */
export const storableObject = (maxBytes: number) =>
  z.record(z.string(), z.unknown(), { error: 'must be a JSON object' }).superRefine((value, context) => {
    const fault = jsonFault(value, maxBytes);
    if (fault) context.addIssue({ code: 'custom', path: [...fault.path], message: fault.message });
  });

/** Any JSON value that Postgres can keep, up to `maxBytes` as text and 32 levels deep. */
export const storableJson = (maxBytes: number) =>
  z.unknown().superRefine((value, context) => {
    const fault = jsonFault(value, maxBytes);
    if (fault) context.addIssue({ code: 'custom', path: [...fault.path], message: fault.message });
  });
