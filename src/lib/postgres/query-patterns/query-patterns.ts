import type DataLoader from 'dataloader';
import { sql, type Kysely, type RawBuilder } from 'kysely';
import { codeOf, toAppError } from '../../errors/classify.ts';
import type { DB } from '../schema.generated.ts';
import type { Transaction, TransactionOptions } from '../transaction.ts';
import { aggregate, type Aggregated, type AggregateOptions } from './aggregate.ts';
import { createLoader, type LoaderKey, type LoaderOptions } from './batch-loaders.ts';
import { checkRows, deleteRows, insertRows, readCell, readChanges, readKey, updateRows } from './bulk-write.ts';
import { Faults, columnNamed, fieldsOf, projections, selectedColumns } from './column-list.ts';
import type { OrderBy } from './order.ts';
import {
  firstRows,
  inRange,
  paginate,
  paginateWithCursor,
  readReading,
  type CursorOptions,
  type CursorPage,
  type NumberedPage,
  type PaginateOptions,
  type PatternsDatabase,
  type Picked,
  type ReadOptions,
} from './pages.ts';
import { containsWords, readWords } from './search-words.ts';
import type { Columns, InputOf, RowOf, TableDefinition } from './table-definition.ts';
import { readWhere, type Where } from './where.ts';

/** A pool, which opens a transaction, or a transaction that is open, which sets a savepoint. */
export type WritableDatabase = PatternsDatabase &
  (
    | { transaction<T>(fn: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T> }
    | { nested<T>(fn: (tx: Transaction) => Promise<T>): Promise<T> }
  );

export interface ListOptions<C extends Columns, S extends keyof C & string> extends ReadOptions<C, S> {
  /** 10 by default, at most 1,000. */
  readonly limit?: number | undefined;
}

export interface SearchOptions<C extends Columns, S extends keyof C & string> extends ListOptions<C, S> {
  /** The texts to look in. */
  readonly fields: readonly (keyof C & string)[];
  readonly orderBy?: OrderBy<C> | undefined;
}

export interface BatchOptions {
  /** Rows in one statement: 1,000 by default, at most 10,000. */
  readonly batchSize?: number | undefined;
}

type Values<C extends Columns> = { readonly [Name in keyof C]?: InputOf<C[Name]> | undefined };

export interface BulkUpdate<C extends Columns> {
  /** The whole primary key. */
  readonly key: Values<C>;
  /** What is set; `{ increment: n }` adds to a number as it is then, so that no concurrent change is lost. */
  readonly data: { readonly [Name in keyof C]?: Values<C>[Name] | { readonly increment: number | bigint | string } };
  /** The row must still have these values, such as the revision that was read. */
  readonly expect?: Values<C> | undefined;
}

const defaultBatch = 1_000;

/**
 * What is asked of nearly every table, for one that {@link defineTable} describes. Columns and values are checked before
 * anything is sent: a field that is no column, or has a value that does not fit, is a VALIDATION_ERROR with its path, and
 * its text never reaches SQL.
 */
export class QueryPatterns<C extends Columns> {
  readonly table: TableDefinition<C>;
  readonly #database: WritableDatabase;

  constructor(database: WritableDatabase, table: TableDefinition<C>) {
    this.#database = database;
    this.table = table;
  }

  get #db(): Kysely<DB> {
    return this.#database.db;
  }

  /** A page by its number, and how many there are. Reaches to row 100,000; {@link paginateWithCursor} goes on. */
  paginate<S extends keyof C & string = keyof C & string>(
    options: PaginateOptions<C, S> = {},
  ): Promise<NumberedPage<Picked<C, S>>> {
    return paginate(this.#db, this.table, options);
  }

  /**
   * A page from a cursor on, in any order, which the primary key makes total: as quick at the end of the table as at its
   * start where an index has the order. Rows that are there throughout come exactly once, whatever is written meanwhile.
   * @throws AppError VALIDATION_ERROR for a cursor that was altered, or is of another table, filter or order.
   */
  paginateWithCursor<S extends keyof C & string = keyof C & string>(
    options: CursorOptions<C, S> = {},
  ): Promise<CursorPage<Picked<C, S>>> {
    return paginateWithCursor(this.#database, this.table, options);
  }

  /** Rows of which some field holds each word of the text, in any case; by the primary key unless ordered otherwise. */
  async search<S extends keyof C & string = keyof C & string>(
    text: string,
    { fields, limit = 20, ...options }: SearchOptions<C, S>,
  ): Promise<readonly Picked<C, S>[]> {
    const faults = new Faults('the search');
    inRange(faults, 'limit', limit, { to: 1_000 });
    const words = readWords(text, faults);
    const found = containsWords(this.table, fields, words, faults);
    const reading = readReading(this.table, options, faults);
    const where = { ...reading.where, sql: sql<boolean>`${reading.where.sql} AND ${found}` };
    return firstRows(this.#db, this.table, { ...reading, where }, { limit });
  }

  /** The latest rows by a time, `created_at` unless named. */
  getRecent<S extends keyof C & string = keyof C & string>({
    by = 'created_at',
    ...options
  }: ListOptions<C, S> & { readonly by?: keyof C & string } = {}): Promise<readonly Picked<C, S>[]> {
    return this.#greatest(by, 'by', options);
  }

  /** The rows that have most of a field, such as views. */
  getPopular<S extends keyof C & string = keyof C & string>(
    field: keyof C & string,
    options: ListOptions<C, S> = {},
  ): Promise<readonly Picked<C, S>[]> {
    return this.#greatest(field, 'field', options);
  }

  /** Counts, sums, averages and extremes of the rows, or of each group of them, in the order of the groups. */
  aggregate<G extends keyof C & string = never>(options: AggregateOptions<C, G>): Promise<readonly Aggregated<C, G>[]> {
    return aggregate(this.#db, this.table, options);
  }

  /**
   * Writes rows in one transaction. Answers them as they are in the table then, in no promised order.
   * @throws AppError VALIDATION_ERROR with the faults of all rows (`rows[3].price`), before anything is written;
   * DATA_CONSISTENCY_ERROR for a row that breaks a rule of the table.
   */
  async bulkCreate(
    rows: readonly Values<C>[],
    { batchSize = defaultBatch }: BatchOptions = {},
  ): Promise<{ readonly count: number; readonly rows: readonly RowOf<C>[] }> {
    const faults = new Faults('the rows');
    const cells = rows.map((row, index) => {
      const path = `rows[${index}]`;
      const fields = fieldsOf(row, path, faults);
      const read = fields.flatMap(([name, value]) => {
        const column = value === undefined ? undefined : columnNamed(this.table, name, `${path}.${name}`, faults);
        return column ? readCell(column, 'set', value, (message) => faults.add(`${path}.${name}`, message, index)) : [];
      });
      if (fields.every(([, value]) => value === undefined)) faults.add(path, 'must set a column', index);
      return read;
    });
    checkRows(faults, 'rows', cells, batchSize);
    faults.throwIfAny();
    const written = await this.#inTransaction('bulkCreate', (db) => insertRows(db, this.table, cells, batchSize));
    return { count: written.length, rows: written };
  }

  /**
   * Changes rows in one transaction, each as long as it is what the caller expects.
   * @throws AppError VALIDATION_ERROR with the faults of all entries (`updates[3].data.price`) before anything is written;
   * NOT_FOUND or DATA_CONSISTENCY_ERROR when a row is not there, not as expected or breaks a rule of the table: nothing is
   * changed then.
   */
  async bulkUpdate(
    updates: readonly BulkUpdate<C>[],
    { batchSize = defaultBatch }: BatchOptions = {},
  ): Promise<{ readonly count: number }> {
    const faults = new Faults('the updates');
    const cells = updates.map((update, index) => {
      const path = `updates[${index}]`;
      const { key, data, expect } = Object.fromEntries(fieldsOf(update, path, faults));
      const at = { faults, index };
      const changes = fieldsOf(data, `${path}.data`, faults);
      if (changes.every(([, value]) => value === undefined)) faults.add(path, 'must set a column', index);
      const expected = fieldsOf(expect, `${path}.expect`, faults).flatMap(([name, value]) => {
        const where = `${path}.expect.${name}`;
        const column = value === undefined ? undefined : columnNamed(this.table, name, where, faults);
        if (column?.ordered === false) faults.add(where, 'cannot be compared', index);
        return column ? readCell(column, 'expect', value, (message) => faults.add(where, message, index)) : [];
      });
      return [
        ...readKey(this.table, key, `${path}.key`, at),
        ...readChanges(this.table, changes, `${path}.data`, at),
        ...expected,
      ];
    });
    checkRows(faults, 'updates', cells, batchSize);
    faults.throwIfAny();
    await this.#inTransaction('bulkUpdate', (db) => updateRows(db, this.table, cells, batchSize));
    return { count: updates.length };
  }

  /**
   * Deletes rows in one transaction: marks them, where the table has a column for that, unless told otherwise. Answers how
   * many were there.
   * @throws AppError VALIDATION_ERROR with the faults of all keys (`keys[3].id`).
   */
  async bulkDelete(
    keys: readonly Values<C>[],
    { batchSize = defaultBatch, softDelete }: BatchOptions & { readonly softDelete?: boolean | undefined } = {},
  ): Promise<{ readonly count: number }> {
    const faults = new Faults('the keys');
    const cells = keys.map((key, index) => readKey(this.table, key, `keys[${index}]`, { faults, index }));
    checkRows(faults, 'keys', cells, batchSize);
    if (softDelete === true && !this.table.softDelete) faults.add('softDelete', 'needs a column that marks rows');
    faults.throwIfAny();
    const mark = softDelete === false ? undefined : this.table.softDelete;
    const count = await this.#inTransaction('bulkDelete', (db) =>
      deleteRows(db, this.table, cells, { batchSize, mark }),
    );
    return { count };
  }

  /**
   * Loads rows by a column whose values are unique, with one statement for all keys asked in one tick, and remembers them:
   * make one for each request or job. A key without a row loads null.
   */
  batchLoader<B extends keyof C & string, S extends keyof C & string = keyof C & string>(
    by: B,
    options: ReadOptions<C, S> = {},
  ): DataLoader<LoaderKey<C, B>, Picked<C, S> | null, string> {
    return createLoader(this.#db, this.table, { by, options, pick: ([row]) => row ?? null });
  }

  /** As {@link batchLoader}, for a column that many rows share: each key loads the list of its rows. */
  batchListLoader<B extends keyof C & string, S extends keyof C & string = keyof C & string>(
    by: B,
    options: LoaderOptions<C, S> = {},
  ): DataLoader<LoaderKey<C, B>, readonly Picked<C, S>[], string> {
    return createLoader(this.#db, this.table, { by, options, pick: (rows) => rows });
  }

  /** These columns as the list of a SELECT of Kysely's `sql`; 8-byte numbers, decimals and dates come as text. */
  getOptimizedSelect(fields: readonly (keyof C & string)[]): RawBuilder<unknown> {
    const faults = new Faults('the fields');
    const columns = selectedColumns(this.table, fields, faults);
    faults.throwIfAny();
    return projections(columns);
  }

  /** The filter as a condition for Kysely's `where` or `sql`. */
  buildOptimizedWhere(
    where: Where<C>,
    { withDeleted }: { readonly withDeleted?: boolean | undefined } = {},
  ): RawBuilder<boolean> {
    const faults = new Faults('the filter');
    const condition = readWhere(this.table, where, { faults, withDeleted });
    faults.throwIfAny();
    return condition.sql;
  }

  async #greatest<S extends keyof C & string>(
    name: string,
    path: string,
    { limit = 10, ...options }: ListOptions<C, S>,
  ): Promise<readonly Picked<C, S>[]> {
    const faults = new Faults('the list');
    inRange(faults, 'limit', limit, { to: 1_000 });
    const column = columnNamed(this.table, name, path, faults);
    if (column?.ordered === false) faults.add(path, 'cannot be ordered by');
    const reading = readReading(this.table, { ...options, orderBy: column ? { [name]: 'desc' } : {} }, faults);
    const has = column ? sql`${column.ref} IS NOT NULL` : sql`true`;
    const where = { ...reading.where, sql: sql<boolean>`${reading.where.sql} AND ${has}` };
    return firstRows(this.#db, this.table, { ...reading, where }, { limit });
  }

  async #inTransaction<T>(name: string, work: (db: Kysely<DB>) => Promise<T>): Promise<T> {
    const run = (tx: Transaction): Promise<T> => work(tx.db);
    const database = this.#database;
    try {
      if ('nested' in database) return await database.nested(run);
      return await database.transaction(run, { name: `${this.table.name}.${name}`, timeoutMs: 300_000 });
    } catch (error) {
      // What the driver says of a broken constraint quotes the row.
      throw codeOf(error)?.startsWith('23') ? toAppError(error) : error;
    }
  }
}
