import type { z } from 'zod';

const nouns: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  bigint: 'a whole number',
  date: 'a time',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

const forms: Readonly<Record<string, string>> = {
  guid: 'an id such as 01890a5d-ac96-774b-bcce-b302099a8057',
  uuid: 'a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057',
  email: 'an email address',
  url: 'a URL',
  datetime: 'a time in ISO 8601 with its offset, such as 2026-01-31T09:00:00Z',
  date: 'a date such as 2026-01-31',
};

const units: Readonly<Record<string, readonly [one: string, many: string]>> = {
  string: ['character', 'characters'],
  array: ['element', 'elements'],
  set: ['element', 'elements'],
  map: ['entry', 'entries'],
};

type Limit = Pick<z.core.$ZodRawIssue<z.core.$ZodIssueTooBig>, 'origin' | 'inclusive'>;

const limited = (
  { origin, inclusive }: Limit,
  words: readonly [at: string, beyond: string],
  limit: unknown,
): string => {
  const unit = units[origin];
  const value = String(limit);
  if (unit)
    return value === '1' && words[0] === 'at least'
      ? 'must not be empty'
      : `must have ${words[0]} ${value} ${unit[value === '1' ? 0 : 1]}`;
  return `must be ${inclusive === false ? words[1] : words[0]} ${value}`;
};

const listed = (values: readonly unknown[]): string =>
  values.length < 2
    ? `must be ${String(values[0])}`
    : `must be ${values.slice(0, -1).map(String).join(', ')} or ${String(values.at(-1))}`;

/** Of alternatives each says what it would have taken. */
const alternatives = (errors: readonly (readonly { readonly message: string }[])[]): string | undefined => {
  const messages = [...new Set(errors.flatMap(([first]) => first?.message ?? []))];
  return messages.length === 0 ? undefined : messages.join(', or ');
};

/** What is wrong with an input, as the end of a sentence that begins with its path: zod's own words are for programmers. */
export const inWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${nouns[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return limited(issue, ['at least', 'more than'], issue.minimum);
    case 'too_big':
      return limited(issue, ['at most', 'less than'], issue.maximum);
    case 'invalid_format':
      return forms[issue.format]
        ? `must be ${forms[issue.format]}`
        : `has not the form it must have (${issue.pattern ?? issue.format})`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_value':
      return issue.input === undefined ? 'is missing' : listed(issue.values);
    case 'invalid_union':
      return alternatives(issue.errors) ?? 'fits none of its alternatives';
    case 'unrecognized_keys':
      return `has unknown fields: ${issue.keys.join(', ')}`;
    case 'invalid_key':
      return 'has a name that does not fit';
    case 'invalid_element':
      return 'has an element that does not fit';
    case 'custom':
    default:
      return 'does not fit';
  }
};
