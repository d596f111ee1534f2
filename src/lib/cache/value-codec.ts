import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/** Where in a value something lies that JSON does not know: a date, or the bytes of numbers. */
type Place = readonly [kind: 'd' | 'f' | 'b', ...path: (string | number)[]];

const deepest = 100;
const largestBytes = 64 * 1024 * 1024;
const compressedMark = 0x5a;
const jsonMark = 0x7b;

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

/** What lies in Redis of an entry. Times are those of Redis. */
export interface StoredEntry {
  readonly value: unknown;
  readonly tags: readonly string[];
  readonly createdAt: number;
  /** When it stops to be fresh. */
  readonly expiresAt: number;
  /** When it is gone. */
  readonly diesAt: number;
  readonly bytes: number;
}

export const encodeEntry = (
  { json, places }: EncodedValue,
  { tags, createdAt, expiresAt, diesAt }: Pick<StoredEntry, 'tags' | 'createdAt' | 'expiresAt' | 'diesAt'>,
  compressAboveBytes: number | undefined,
): Buffer => {
  const times = `{"$":1,"at":${Math.round(createdAt)},"ex":${Math.round(expiresAt)},"di":${Math.round(diesAt)}`;
  const tagged = tags.length === 0 ? '' : `,"t":${JSON.stringify(tags)}`;
  const placed = places.length === 0 ? '' : `,"p":${JSON.stringify(places)}`;
  const text = Buffer.from(`${times}${tagged}${placed}${json === undefined ? '' : `,"v":${json}`}}`);
  if (compressAboveBytes === undefined || text.length <= compressAboveBytes) return text;
  return Buffer.concat([Buffer.of(compressedMark), zstdCompressSync(text)]);
};

const parse = (bytes: Buffer): unknown => {
  if (bytes[0] === jsonMark) return JSON.parse(bytes.toString());
  if (bytes[0] !== compressedMark) throw new TypeError('nothing of ours');
  const text: unknown = zstdDecompressSync(bytes.subarray(1), { maxOutputLength: largestBytes }).toString();
  return JSON.parse(String(text));
};

const isText = (value: unknown): value is string => typeof value === 'string';

/** @throws for bytes that {@link encodeEntry} did not make. */
export const decodeEntry = (bytes: Buffer): StoredEntry => {
  const parsed = parse(bytes);
  if (!isHolder(parsed) || parsed['$'] !== 1) throw new TypeError('nothing of ours');
  const { at, ex, di, t = [], p = [], v } = parsed;
  if (typeof at !== 'number' || typeof ex !== 'number' || typeof di !== 'number') throw new TypeError('without times');
  if (!Array.isArray(t) || !Array.isArray(p)) throw new TypeError('without tags or places');
  return {
    value: p.length === 0 ? v : reviveValue(v, p),
    tags: t.filter(isText),
    createdAt: at,
    expiresAt: ex,
    diesAt: di,
    bytes: bytes.length,
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
