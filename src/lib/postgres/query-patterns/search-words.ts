import { sql, type RawBuilder } from 'kysely';
import { isStorable } from '../../text/storable.ts';
import { columnNamed, namesOf, type Faults } from './column-list.ts';
import { likeAnywhere } from './like-pattern.ts';
import type { Columns, TableDefinition } from './table-definition.ts';

const longestText = 500;
const mostWords = 20;

/** The words of a text that somebody searches for. */
export const readWords = (text: unknown, faults: Faults): readonly string[] => {
  if (typeof text !== 'string') {
    faults.add('text', 'must be text');
    return [];
  }
  const words = [...new Set(text.split(/\s+/u).filter((word) => word !== ''))];
  if (words.length === 0) faults.add('text', 'must have a word');
  if (text.length > longestText) faults.add('text', `must have at most ${longestText} characters`);
  if (words.length > mostWords) faults.add('text', `must have at most ${mostWords} words`);
  if (!isStorable(text)) faults.add('text', 'contains NUL or half of a surrogate pair');
  return words;
};

/** Some of the columns, which are texts, holds each word. */
export const containsWords = (
  table: TableDefinition<Columns>,
  fields: unknown,
  words: readonly string[],
  faults: Faults,
): RawBuilder<unknown> => {
  if (Array.isArray(fields) && fields.length === 0) faults.add('fields', 'must name a column');
  const columns = namesOf(fields, 'fields', faults).flatMap((name, index) => {
    const column = columnNamed(table, name, `fields[${index}]`, faults);
    if (column && column.kindName !== 'text') faults.add(`fields[${index}]`, 'must be a text');
    return column ?? [];
  });
  const anywhere = (word: string): RawBuilder<unknown> =>
    sql`(${sql.join(
      columns.map(({ ref }) => sql`${ref} ILIKE ${likeAnywhere(word)}`),
      sql` OR `,
    )})`;
  return sql.join(words.map(anywhere), sql` AND `);
};
