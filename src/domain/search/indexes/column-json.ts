/** How a column's value becomes JSON. */
export type ColumnKind = 'number' | 'boolean' | 'text' | 'padded' | 'moment' | 'day' | 'json' | 'other';

const kinds: Readonly<Record<string, ColumnKind>> = {
  smallint: 'number',
  integer: 'number',
  bigint: 'number',
  real: 'number',
  'double precision': 'number',
  numeric: 'number',
  oid: 'number',
  boolean: 'boolean',
  text: 'text',
  'character varying': 'text',
  uuid: 'text',
  name: 'text',
  citext: 'text',
  character: 'padded',
  bpchar: 'padded',
  'timestamp with time zone': 'moment',
  'timestamp without time zone': 'moment',
  date: 'day',
  json: 'json',
  jsonb: 'json',
};

/** `type` as format_type() names it, with or without a length. */
export const kindOfType = (type: string, isEnum: boolean): ColumnKind =>
  isEnum ? 'text' : (kinds[type.replace(/\(.*?\)/, '').trim()] ?? 'other');

const number = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i;
const moment = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00(?::?00)?|Z)?$/;
const day = /^\d{4}-\d\d-\d\d$/;

/** Of a column of fixed width: only the blanks that fill it up are no part of the value. */
const withoutPadding = (text: string): string => {
  let end = text.length;
  while (end > 0 && text[end - 1] === ' ') end -= 1;
  return text.slice(0, end);
};

/** In one line, as a document stands in a bulk request: a line break in JSON is only ever between its parts. */
const inOneLine = (json: string): string => (json.includes('\n') ? json.replaceAll('\n', ' ') : json);

/**
 * The JSON of a value as Postgres writes it, in the change stream and in {@link selectOf} alike: equal values are equal
 * texts. What JSON, or Elasticsearch, has no word for (NaN, infinity, years before Christ) is null.
 */
export const jsonOfText = (kind: ColumnKind, text: string | null): string => {
  if (text === null) return 'null';
  switch (kind) {
    case 'number':
      return number.test(text) ? text : 'null';
    case 'boolean':
      return text.startsWith('t') ? 'true' : 'false';
    case 'text':
      return JSON.stringify(text);
    case 'padded':
      return JSON.stringify(withoutPadding(text));
    case 'moment': {
      const [, date, time] = moment.exec(text) ?? [];
      return date === undefined ? 'null' : `"${date}T${time}Z"`;
    }
    case 'day':
      return day.test(text) ? `"${text}"` : 'null';
    case 'json':
    case 'other':
      return inOneLine(text);
    default:
      return kind satisfies never;
  }
};

/** An expression for the text that {@link jsonOfText} takes, the same in every session. */
export const selectOf = (kind: ColumnKind, column: string, type: string): string => {
  switch (kind) {
    case 'moment':
      return `to_json(${type.endsWith(' with time zone') ? `${column} AT TIME ZONE 'UTC'` : column}) #>> '{}'`;
    case 'day':
      return `to_json(${column}) #>> '{}'`;
    case 'other':
      return `to_json(${column})::text`;
    case 'number':
    case 'boolean':
    case 'text':
    case 'padded':
    case 'json':
      return `${column}::text`;
    default:
      return kind satisfies never;
  }
};

/** Whether such values name a row: as text they are the same in the change stream and in every session. */
export const isKey = (kind: ColumnKind): boolean => kind === 'text' || kind === 'number';

/** Whether the change stream writes such values as {@link jsonOfText} takes them. */
export const isStreamed = (kind: ColumnKind): boolean => kind !== 'other';

/** Whether values may be so large that their size counts. */
export const isLarge = (kind: ColumnKind): boolean => kind === 'text' || kind === 'json' || kind === 'other';
