import { sql, type RawBuilder } from 'kysely';
import { z } from 'zod';
import { validationError, type Fault } from '../../errors/app-error.ts';
import type { Column, Columns, TableDefinition } from './table-definition.ts';

/** Notes what is wrong with a request while it is read, and refuses it whole. */
export class Faults {
  readonly #list: Fault[] = [];
  readonly #subject: string;

  constructor(subject: string) {
    this.#subject = subject;
  }

  add(path: string, message: string, index?: number): void {
    this.#list.push({ path, message, ...(index === undefined ? {} : { index }) });
  }

  /** @throws AppError VALIDATION_ERROR with the faults noted, the first thousand of them. */
  throwIfAny(): void {
    if (this.#list.length > 0) throw validationError(this.#subject, this.#list.slice(0, 1_000));
  }
}

/** The fields of what may come from a request: none where there is nothing, a fault where it is no object. */
export const fieldsOf = (given: unknown, path: string, faults: Faults): readonly [string, unknown][] => {
  if (given === undefined || given === null) return [];
  if (typeof given === 'object' && !Array.isArray(given)) return Object.entries(given);
  faults.add(path, 'must be an object');
  return [];
};

/** As {@link fieldsOf}, of a list of names. */
export const namesOf = (given: unknown, path: string, faults: Faults): readonly string[] => {
  if (given === undefined) return [];
  const names = z.array(z.string()).safeParse(given);
  if (!names.success) faults.add(path, 'must be a list of names');
  return names.data ?? [];
};

/** The column of this name; what is none is noted and never reaches SQL. */
export const columnNamed = (
  { columns }: TableDefinition<Columns>,
  name: string,
  path: string,
  faults: Faults,
): Column | undefined => {
  const column = columns.get(name);
  if (!column) faults.add(path, 'is not a column of the table');
  return column;
};

/** The columns to answer: those named, or all. */
export const selectedColumns = (
  table: TableDefinition<Columns>,
  select: unknown,
  faults: Faults,
): readonly Column[] => {
  if (select === undefined) return [...table.columns.values()];
  if (Array.isArray(select) && select.length === 0) faults.add('select', 'must name a column');
  return [...new Set(namesOf(select, 'select', faults))].flatMap(
    (name, index) => columnNamed(table, name, `select[${index}]`, faults) ?? [],
  );
};

/** A column in a list of what is selected; what JavaScript could not hold exactly comes as text. */
const projection = ({ ref, fromText }: Column): RawBuilder<unknown> => (fromText ? sql`${ref}::text AS ${ref}` : ref);

export const projections = (columns: readonly Column[]): RawBuilder<unknown> => sql.join(columns.map(projection));

/** Reads a row that {@link projections} selected; `T` is what the columns are. */
export const rowReader =
  <T>(columns: readonly Column[], whole = z.custom<T>()) =>
  (row: Readonly<Record<string, unknown>>): T => {
    const read: Record<string, unknown> = {};
    for (const { name, fromText } of columns) {
      const value = row[name];
      read[name] = fromText && typeof value === 'string' ? fromText(value) : value;
    }
    return whole.parse(read);
  };
