import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { LocalEntry } from './local-store.ts';

/** Where in a value something lies that JSON does not know: a date, or the bytes of numbers. */
type Place = readonly [kind: 'd' | 'f' | 'b', ...path: (string | number)[]];

const deepest = 100;
const largestBytes = 64 * 1024 * 1024;
const compressedMark = 'Z';
const entryMark = '$1,';
const longestHead = 80;

/** Why a value can't be kept: where, and what it is. */
export class Unserialisable extends Error {
  override readonly name = 'Unserialisable';
  readonly path: string;

  constructor(path: readonly (string | number)[], what: string) {
    super(what);
    this.path = path.join('.');
  }
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const scanObject = (value: object, path: (string | number)[], places: Place[]): void => {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new Unserialisable(path, 'is no valid date');
    places.push(['d', ...path]);
  } else if (value instanceof Float32Array) places.push(['f', ...path]);
  else if (value instanceof Uint8Array) places.push(['b', ...path]);
  else if (path.length >= deepest) throw new Unserialisable(path.slice(0, 5), 'is nested too deep, or in itself');
  else if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      path.push(index);
      scan(value[index], path, places, true);
      path.pop();
    }
  } else if (isPlain(value)) {
    for (const [name, inner] of Object.entries(value)) {
      path.push(name);
      scan(inner, path, places, false);
      path.pop();
    }
  } else throw new Unserialisable(path, `is a ${value.constructor.name}, not plain data`);
};

const scan = (value: unknown, path: (string | number)[], places: Place[], inArray: boolean): void => {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return;
    case 'number':
      if (!Number.isFinite(value)) throw new Unserialisable(path, 'is not a finite number');
      return;
    case 'undefined':
      if (inArray) throw new Unserialisable(path, 'is undefined in an array');
      return;
    case 'object':
      if (value !== null) scanObject(value, path, places);
      return;
    case 'bigint':
    case 'function':
    case 'symbol':
      throw new Unserialisable(path, `is a ${typeof value}`);
  }
};

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/** Stands in for what has bytes; `this` is what holds it, since a Buffer arrives here changed already. */
function withBytes(this: Readonly<Record<string, unknown>>, name: string, value: unknown): unknown {
  const held = this[name];
  return held instanceof Float32Array || held instanceof Uint8Array ? bytesOf(held) : value;
}

/** A value as text, and what has to be made of it again. */
export interface EncodedValue {
  readonly json: string | undefined;
  readonly places: readonly Place[];
}

/** @throws Unserialisable for what would come back as something else. */
export const encodeValue = (value: unknown): EncodedValue => {
  const places: Place[] = [];
  scan(value, [], places, false);
  const hasBytes = places.some(([kind]) => kind !== 'd');
  const json = value === undefined ? undefined : hasBytes ? JSON.stringify(value, withBytes) : JSON.stringify(value);
  return { json, places };
};

const revive = (kind: Place[0], text: unknown): unknown => {
  if (typeof text !== 'string') throw new TypeError('no text where a date or bytes were');
  if (kind === 'd') return new Date(text);
  const bytes = Buffer.from(text, 'base64');
  if (kind === 'b') return bytes;
  // A Float32Array begins at a multiple of four.
  return new Float32Array(Uint8Array.from(bytes).buffer);
};

const isHolder = (value: unknown): value is Record<string | number, unknown> =>
  typeof value === 'object' && value !== null;

const isKind = (kind: unknown): kind is Place[0] => kind === 'd' || kind === 'f' || kind === 'b';

/** What {@link encodeValue} made, as it was. @throws for anything else. */
const reviveValue = (value: unknown, places: readonly unknown[]): unknown => {
  const root: Record<string | number, unknown> = { value };
  for (const place of places) {
    if (!Array.isArray(place)) throw new TypeError('not a place');
    const [kind, ...path]: readonly unknown[] = place;
    if (!isKind(kind)) throw new TypeError('an unknown kind of place');
    let holder = root;
    let name: string | number = 'value';
    for (const step of path) {
      const next: unknown = holder[name];
      if ((typeof step !== 'string' && typeof step !== 'number') || !isHolder(next) || !Object.hasOwn(next, step))
        throw new TypeError('a place that is not there');
      holder = next;
      name = step;
    }
    holder[name] = revive(kind, holder[name]);
  }
  return root['value'];
};

/**
 * An entry as text, which clients read sooner than bytes: `$1,<created at>,<ttl>,<grace>,<length>;`, so many characters of
 * JSON with tags and places, and the value as JSON. Times are those of Redis, in milliseconds.
 */
export const encodeEntry = (
  { json = '', places }: EncodedValue,
  { tags, createdAt, expiresAt, diesAt }: Pick<LocalEntry, 'tags' | 'createdAt' | 'expiresAt' | 'diesAt'>,
  compressAboveBytes: number | undefined,
): string => {
  const more = tags.length + places.length === 0 ? '' : JSON.stringify({ t: tags, p: places });
  const times = [createdAt, expiresAt - createdAt, diesAt - expiresAt].map((time) => Math.round(time));
  const text = `${entryMark}${times.join(',')},${more.length};${more}${json}`;
  if (compressAboveBytes === undefined || text.length <= compressAboveBytes) return text;
  return compressedMark + zstdCompressSync(text).toString('base64');
};

const uncompressed = (text: string): string => {
  if (!text.startsWith(compressedMark)) return text;
  const compressed = Buffer.from(text.slice(compressedMark.length), 'base64');
  return zstdDecompressSync(compressed, { maxOutputLength: largestBytes }).toString();
};

const isText = (value: unknown): value is string => typeof value === 'string';

const readMore = (json: string): { readonly tags: readonly string[]; readonly places: readonly unknown[] } => {
  const more: unknown = JSON.parse(json);
  const { t, p } = isHolder(more) ? more : {};
  if (!Array.isArray(t) || !Array.isArray(p) || !t.every(isText)) throw new TypeError('without tags or places');
  return { tags: t, places: p };
};

const nothingMore = { tags: [], places: [] } as const;

interface Head {
  readonly at: number;
  readonly ttl: number;
  readonly grace: number;
  /** Of what follows, before the value. */
  readonly length: number;
  readonly end: number;
}

const [zero, nine, comma, semicolon] = [0x30, 0x39, 0x2c, 0x3b];

/** Digit by digit: it is done for every entry that is read. */
const readHead = (text: string): Head => {
  const fields: [number, number, number, number] = [0, 0, 0, 0];
  let field = 0;
  if (!text.startsWith(entryMark)) throw new TypeError('nothing of ours');
  for (let end = entryMark.length; end < longestHead; end += 1) {
    const code = text.charCodeAt(end);
    if (code >= zero && code <= nine) fields[field] = (fields[field] ?? 0) * 10 + code - zero;
    else if (code === comma && field < 3) field += 1;
    else if (code === semicolon && field === 3) {
      const [at, ttl, grace, length] = fields;
      return { at, ttl, grace, length, end: end + 1 };
    } else break;
  }
  throw new TypeError('nothing of ours');
};

/** With times that are `aheadMs` less, as read at `since`. @throws for text that {@link encodeEntry} did not make. */
export const decodeEntry = (
  stored: string,
  { aheadMs, since }: { readonly aheadMs: number; readonly since: number },
): LocalEntry => {
  const text = uncompressed(stored);
  const { at, ttl, grace, length, end } = readHead(text);
  const from = end + length;
  const { tags, places } = length === 0 ? nothingMore : readMore(text.slice(end, from));
  const value: unknown = from >= text.length ? undefined : JSON.parse(text.slice(from));
  const createdAt = at - aheadMs;
  return {
    value: places.length === 0 ? value : reviveValue(value, places),
    tags,
    createdAt,
    expiresAt: createdAt + ttl,
    diesAt: createdAt + ttl + grace,
    bytes: stored.length,
    since,
  };
};

/** A copy that shares nothing with the value, and can't be changed: what memory holds is given to everybody. */
export const frozenCopy = ({ json, places }: EncodedValue): unknown =>
  json === undefined ? undefined : deepFreeze(reviveValue(JSON.parse(json), places));

export const deepFreeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
};
