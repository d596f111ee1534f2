import { storableJson, isStorable } from '../../text/storable.ts';
import { isUuid } from '../../text/uuid.ts';

/** What a column of each kind holds in a row. Whole numbers of 8 bytes and decimals keep every digit. */
export interface KindValues {
  readonly text: string;
  readonly uuid: string;
  readonly integer: number;
  readonly bigint: bigint;
  readonly numeric: string;
  readonly double: number;
  readonly boolean: boolean;
  readonly timestamptz: Date;
  /** `2026-03-04`. */
  readonly date: string;
  readonly jsonb: unknown;
  readonly 'text[]': readonly string[];
}

/** What a caller may give for a column of each kind. */
export interface KindInputs extends Omit<KindValues, 'bigint' | 'numeric' | 'timestamptz'> {
  readonly bigint: bigint | number | string;
  readonly numeric: string | number | bigint;
  readonly timestamptz: Date | string;
}

/** The types of Postgres that query patterns know. */
export const columnKinds = [
  'text',
  'uuid',
  'integer',
  'bigint',
  'numeric',
  'double',
  'boolean',
  'timestamptz',
  'date',
  'jsonb',
  'text[]',
] as const satisfies readonly (keyof KindValues)[];
export type ColumnKind = (typeof columnKinds)[number];

/** Whatever is sent to Postgres. JSON and lists of text travel as JSON text. */
export type Parameter = string | number | boolean;

export interface Kind {
  /** What a value must be, for a fault. */
  readonly expected: string;
  /** The value as it is sent; undefined when it is none of this kind. */
  parameterOf(this: void, value: unknown): Parameter | undefined;
  /** Rows can be ordered, compared and grouped by it. */
  readonly ordered: boolean;
  /** It can be added up. */
  readonly number: boolean;
  /** Read as text, and made a value of it. */
  fromText?(this: void, text: string): unknown;
}

const int4 = 2_147_483_647;
const int8 = 9_223_372_036_854_775_807n;
const longestJson = 10_000_000;
const timeForm =
  /^(\d{4}-\d\d-\d\d)[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?(?:Z|[+-](?:0\d|1[0-5]):?[0-5]\d)$/;
const numericForm = /^-?\d{1,1000}(?:\.\d{1,1000})?$/;

const bigintOf = (value: unknown): string | undefined => {
  const digits = typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : value;
  if (typeof digits !== 'string' || !/^-?\d{1,19}$/.test(digits)) return undefined;
  const whole = BigInt(digits);
  return whole >= -int8 - 1n && whole <= int8 ? whole.toString() : undefined;
};

/** There is no year 0, and the 30th of February would be another day. */
const isDate = (text: string): boolean => {
  const time = new Date(`${text}T00:00:00Z`);
  return !text.startsWith('0000') && !Number.isNaN(time.getTime()) && time.toISOString().startsWith(text);
};

const dateOf = (value: unknown): string | undefined =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) && isDate(value) ? value : undefined;

const timeOf = (value: unknown): string | undefined => {
  const text = value instanceof Date && !Number.isNaN(value.getTime()) ? value.toISOString() : value;
  if (typeof text !== 'string') return undefined;
  const day = timeForm.exec(text)?.[1];
  return day !== undefined && isDate(day) ? text : undefined;
};

const json = storableJson(longestJson);
const plain = { ordered: true, number: false };

export const kinds: { readonly [Name in ColumnKind]: Kind } = {
  text: {
    ...plain,
    expected: 'text without NUL or half of a surrogate pair',
    parameterOf: (value) => (typeof value === 'string' && isStorable(value) ? value : undefined),
  },
  uuid: {
    ...plain,
    expected: 'an id',
    parameterOf: (value) => (typeof value === 'string' && isUuid(value) ? value.toLowerCase() : undefined),
  },
  integer: {
    ordered: true,
    number: true,
    expected: `a whole number of 4 bytes`,
    parameterOf: (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= -int4 - 1 && value <= int4 ? value : undefined,
  },
  bigint: {
    ordered: true,
    number: true,
    expected: 'a whole number of 8 bytes',
    parameterOf: bigintOf,
    fromText: BigInt,
  },
  numeric: {
    ordered: true,
    number: true,
    expected: 'a decimal number',
    parameterOf: (value) => {
      const text = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value;
      return typeof text === 'string' && numericForm.test(text) ? text : undefined;
    },
    fromText: String,
  },
  double: {
    ordered: true,
    number: true,
    expected: 'a finite number',
    parameterOf: (value) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined),
  },
  boolean: {
    ...plain,
    expected: 'true or false',
    parameterOf: (value) => (typeof value === 'boolean' ? value : undefined),
  },
  timestamptz: { ...plain, expected: 'a time', parameterOf: timeOf },
  date: { ...plain, expected: 'a date such as 2026-03-04', parameterOf: dateOf, fromText: String },
  jsonb: {
    ordered: false,
    number: false,
    expected: 'a JSON value',
    parameterOf: (value) => (value !== undefined && json.safeParse(value).success ? JSON.stringify(value) : undefined),
  },
  'text[]': {
    ordered: false,
    number: false,
    expected: 'a list of texts',
    parameterOf: (value) => {
      const fits = Array.isArray(value) && value.every((entry) => typeof entry === 'string' && isStorable(entry));
      return fits ? JSON.stringify(value) : undefined;
    },
  },
};
