import { sql, type Kysely, type RawBuilder } from 'kysely';
import { AppError, notFound } from '../../errors/app-error.ts';
import type { DB } from '../schema.generated.ts';
import type { Parameter } from './column-kinds.ts';
import { columnNamed, fieldsOf, projections, rowReader, type Faults } from './column-list.ts';
import { inRange } from './pages.ts';
import type { Column, Columns, RowOf, TableDefinition } from './table-definition.ts';

/** One value of a row: for a column, or for adding to it. */
interface Cell {
  readonly column: Column;
  readonly use: 'key' | 'set' | 'add' | 'expect';
  readonly value: Parameter | null;
}
type Cells = readonly Cell[];

const mostRows = 100_000;

/** Reads one value of a row, and notes what is wrong with it. */
export const readCell = (
  column: Column,
  use: Cell['use'],
  value: unknown,
  fault: (message: string) => void,
): readonly Cell[] => {
  if (value === null && use !== 'add') {
    if (!column.nullable) fault('must not be null');
    return [{ column, use, value: null }];
  }
  const parameter = column.parameterOf(value);
  if (parameter === undefined) fault(`must be ${column.expected}`);
  return parameter === undefined ? [] : [{ column, use, value: parameter }];
};

/** The primary key of one row. */
export const readKey = (
  { primaryKey }: TableDefinition<Columns>,
  key: unknown,
  path: string,
  { faults, index }: { readonly faults: Faults; readonly index: number },
): Cells => {
  const given = new Map(fieldsOf(key, path, faults));
  for (const name of given.keys()) {
    if (!primaryKey.some((column) => column.name === name)) {
      faults.add(`${path}.${name}`, 'is not a column of the primary key', index);
    }
  }
  return primaryKey.flatMap((column) =>
    readCell(column, 'key', given.get(column.name), (message) => faults.add(`${path}.${column.name}`, message, index)),
  );
};

/** Refuses a list that is too long, and rows of one key. */
export const checkRows = (faults: Faults, path: string, rows: readonly Cells[], batchSize: number): void => {
  inRange(faults, 'batchSize', batchSize, { to: 10_000 });
  if (rows.length > mostRows) faults.add(path, `must have at most ${mostRows} entries`);
  const seen = new Set<string>();
  for (const [index, cells] of rows.entries()) {
    const key = keyOf(cells);
    if (key === undefined) continue;
    if (seen.has(key)) faults.add(`${path}[${index}]`, 'has the key of another entry', index);
    seen.add(key);
  }
};

const keyOf = (cells: Cells): string | undefined => {
  const keys = cells.filter(({ use }) => use === 'key');
  return keys.length === 0 ? undefined : JSON.stringify(keys.map(({ value }) => value));
};

const shapeOf = ({ column, use }: Cell): string => `${use} ${column.name}`;

/** Transactions that write some of the same rows lock them in one order, whatever order they are given in. */
const byKey = (rows: readonly Cells[]): readonly Cells[] =>
  rows
    .map((cells) => ({ cells, key: keyOf(cells) ?? '' }))
    .toSorted((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)))
    .map(({ cells }) => cells);

/** Rows that have values for the same columns, in batches of so many, by their keys: each is one statement. */
const batchesOf = (rows: readonly Cells[], batchSize: number): readonly (readonly Cells[])[] => {
  const shapes = new Map<string, Cells[]>();
  for (const row of byKey(rows)) {
    const cells = row.toSorted((a, b) => (shapeOf(a) < shapeOf(b) ? -1 : 1));
    const shape = cells.map(shapeOf).join(',');
    const same = shapes.get(shape);
    if (same) same.push(cells);
    else shapes.set(shape, [cells]);
  }
  return [...shapes.values()].flatMap((same) =>
    Array.from({ length: Math.ceil(same.length / batchSize) }, (_, index) =>
      same.slice(index * batchSize, (index + 1) * batchSize),
    ),
  );
};

const given = sql.id('given');
const place = sql.id('place');
const givenColumn = (index: number): RawBuilder<unknown> => sql`${given}.${sql.id(`c${index}`)}`;

/** The values of a batch as a table `given` with columns c0, c1 …, each from a list, and the place of each row in them. */
const asTable = (batch: readonly Cells[]): RawBuilder<unknown> => {
  const cells = batch[0] ?? [];
  const lists = cells.map(({ column }, index) => {
    const values = batch.map((row) => row[index]?.value ?? null);
    return sql`${values}::${column.kindName === 'text[]' ? sql`text` : column.type}[]`;
  });
  const names = sql.join(cells.map((_, index) => sql.id(`c${index}`)));
  return sql`unnest(${sql.join(lists)}) WITH ORDINALITY AS ${given} (${names}, ${place})`;
};

/** What a column gets of `given`; a list of lists would lose its inner ones, so lists of texts come as JSON. */
const valueOf = ({ column }: Cell, index: number): RawBuilder<unknown> =>
  column.kindName === 'text[]'
    ? sql`CASE WHEN ${givenColumn(index)} IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(${givenColumn(index)}::jsonb)) END`
    : givenColumn(index);

/** Writes new rows, a statement a batch, and answers them as they are in the table. */
export const insertRows = async <C extends Columns>(
  db: Kysely<DB>,
  table: TableDefinition<C>,
  rows: readonly Cells[],
  batchSize: number,
): Promise<readonly RowOf<C>[]> => {
  const columns = [...table.columns.values()];
  const read = rowReader<RowOf<C>>(columns);
  const written: RowOf<C>[] = [];
  for (const batch of batchesOf(rows, batchSize)) {
    const cells = batch[0] ?? [];
    const { rows: answered } = await sql<Record<string, unknown>>`
      INSERT INTO ${table.ref} (${sql.join(cells.map(({ column }) => column.ref))})
      SELECT ${sql.join(cells.map(valueOf))} FROM ${asTable(batch)}
      RETURNING ${projections(columns)}`.execute(db);
    written.push(...answered.map(read));
  }
  return written;
};

const target = sql.id('target');
const targetColumn = (column: Column): RawBuilder<unknown> => sql`${target}.${column.ref}`;

const isThere = ({ softDelete }: TableDefinition<Columns>): RawBuilder<unknown> => {
  if (!softDelete) return sql`true`;
  const test = softDelete.kindName === 'boolean' ? sql`IS NOT TRUE` : sql`IS NULL`;
  return sql`${targetColumn(softDelete)} ${test}`;
};

/** Which row of the table an entry means, as it has to be. */
const matching = (table: TableDefinition<Columns>, cells: Cells): RawBuilder<unknown> => {
  const tests = cells.flatMap(({ column, use }, index) => {
    if (use === 'key') return [sql`${targetColumn(column)} = ${givenColumn(index)}`];
    return use === 'expect' ? [sql`${targetColumn(column)} IS NOT DISTINCT FROM ${givenColumn(index)}`] : [];
  });
  return sql.join([...tests, isThere(table)], sql` AND `);
};

/**
 * Changes rows, a statement a batch.
 * @throws AppError NOT_FOUND or DATA_CONSISTENCY_ERROR for an entry whose row is not there, or not as expected: the
 * transaction is to be rolled back then.
 */
export const updateRows = async (
  db: Kysely<DB>,
  table: TableDefinition<Columns>,
  rows: readonly Cells[],
  batchSize: number,
): Promise<void> => {
  for (const batch of batchesOf(rows, batchSize)) {
    const cells = batch[0] ?? [];
    const sets = cells.flatMap((cell, index) => {
      const { column, use } = cell;
      if (use === 'add') return [sql`${column.ref} = ${targetColumn(column)} + ${givenColumn(index)}`];
      return use === 'set' ? [sql`${column.ref} = ${valueOf(cell, index)}`] : [];
    });
    const { rows: done } = await sql<{ readonly place: number }>`
      UPDATE ${table.ref} AS ${target} SET ${sql.join(sets)} FROM ${asTable(batch)}
      WHERE ${matching(table, cells)} RETURNING ${given}.${place}::integer AS place`.execute(db);
    if (done.length < batch.length) throw await refusal(db, table, batch, new Set(done.map((row) => row.place)));
  }
};

/** Why an entry of the batch found no row. */
const refusal = async (
  db: Kysely<DB>,
  table: TableDefinition<Columns>,
  batch: readonly Cells[],
  done: ReadonlySet<number>,
): Promise<AppError> => {
  const left = batch.find((_, index) => !done.has(index + 1)) ?? [];
  const entityId = left.flatMap(({ use, value }) => (use === 'key' ? [String(value)] : [])).join(', ');
  const keys = left.filter(({ use }) => use === 'key');
  const { rows } = await sql`SELECT FROM ${table.ref} AS ${target}, ${asTable([keys])}
    WHERE ${matching(table, keys)}`.execute(db);
  if (rows.length === 0) return notFound(table.name, entityId);
  return new AppError('DATA_CONSISTENCY_ERROR', `a row of ${table.name} is not as expected: read it again`, {
    entity: table.name,
    entityId,
  });
};

/** Deletes rows, or marks them as deleted, a statement a batch; answers how many there were. */
export const deleteRows = async (
  db: Kysely<DB>,
  table: TableDefinition<Columns>,
  rows: readonly Cells[],
  { batchSize, mark }: { readonly batchSize: number; readonly mark: Column | undefined },
): Promise<number> => {
  let count = 0n;
  for (const batch of batchesOf(rows, batchSize)) {
    const where = matching(table, batch[0] ?? []);
    const statement = mark
      ? sql`UPDATE ${table.ref} AS ${target} SET ${mark.ref} = ${mark.kindName === 'boolean' ? sql`true` : sql`clock_timestamp()`}
          FROM ${asTable(batch)} WHERE ${where}`
      : sql`DELETE FROM ${table.ref} AS ${target} USING ${asTable(batch)} WHERE ${where}`;
    count += (await statement.execute(db)).numAffectedRows ?? 0n;
  }
  return Number(count);
};

/** What an entry sets; `{ increment: n }` adds to what is there. */
export const readChanges = (
  table: TableDefinition<Columns>,
  data: readonly (readonly [name: string, value: unknown])[],
  path: string,
  { faults, index }: { readonly faults: Faults; readonly index: number },
): Cells =>
  data.flatMap(([name, value]) => {
    const at = `${path}.${name}`;
    const column = value === undefined ? undefined : columnNamed(table, name, at, faults);
    if (!column) return [];
    if (table.primaryKey.includes(column)) faults.add(at, 'is of the primary key, which stays', index);
    const step = incrementOf(value);
    if (step === undefined || !column.number) {
      return readCell(column, 'set', value, (message) => faults.add(at, message, index));
    }
    return readCell(column, 'add', step, (message) => faults.add(`${at}.increment`, message, index));
  });

const incrementOf = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && 'increment' in value && Object.keys(value).length === 1
    ? value.increment
    : undefined;
