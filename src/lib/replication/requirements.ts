import { AppError } from '../errors/app-error.ts';
import type { Queryable } from '../postgres/queryable.ts';

/** Something that a change stream needs and the database lacks. */
export class StreamUnavailable extends AppError<'SERVICE_UNAVAILABLE'> {
  constructor(message: string, cause?: unknown) {
    super('SERVICE_UNAVAILABLE', message, { service: 'change stream' }, { cause });
  }
}

interface Facts {
  readonly wal_level: string;
  readonly may_replicate: boolean;
  readonly user: string;
  readonly in_recovery: boolean;
  readonly free_slots: number;
  readonly slot_exists: boolean;
}

const quote = (name: string): string => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

/**
 * What the server must be set to, and the user allowed to do.
 * @throws StreamUnavailable with the exact statement, or line of postgresql.conf, that provides it.
 */
export const checkServer = async (db: Queryable, slot: string): Promise<void> => {
  const { rows } = await db.query<Facts & Record<string, unknown>>(
    `SELECT current_setting('wal_level') AS wal_level, pg_is_in_recovery() AS in_recovery, current_user AS user,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_replicate,
       current_setting('max_replication_slots')::integer - (SELECT count(*)::integer FROM pg_replication_slots) AS free_slots,
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1) AS slot_exists`,
    [slot],
  );
  const [facts] = rows;
  if (!facts) return;
  if (facts.in_recovery)
    throw new StreamUnavailable('the change stream is read from a primary, and this server follows one');
  if (facts.wal_level !== 'logical') {
    throw new StreamUnavailable(
      `the change stream needs wal_level=logical and the server has ${facts.wal_level}: run ALTER SYSTEM SET wal_level = 'logical'; and restart Postgres`,
    );
  }
  if (!facts.may_replicate) {
    throw new StreamUnavailable(
      `the change stream needs the privilege to replicate: run ALTER ROLE ${quote(facts.user)} REPLICATION;`,
    );
  }
  if (!facts.slot_exists && facts.free_slots <= 0) {
    throw new StreamUnavailable(
      'no replication slot is free: run ALTER SYSTEM SET max_replication_slots = 20; and restart Postgres, or drop one that nobody reads',
    );
  }
};

interface TableFacts {
  readonly identity: string;
  readonly identity_columns: string[] | null;
  readonly columns: string[] | null;
}

/** A table as it has to be for those who watch it. */
export interface PublishedTable {
  readonly schema: string;
  readonly table: string;
  /** Columns by which deleted and changed rows are known: the replica identity must hold them. */
  readonly identity: readonly string[];
  /** Columns that must be there. */
  readonly columns: readonly string[];
  /** Only these columns are published; all by default. */
  readonly published?: readonly string[];
}

export interface Publication {
  readonly name: string;
  readonly tables: readonly PublishedTable[];
  /** Only new rows are told. */
  readonly insertsOnly?: boolean;
}

const nameOf = ({ schema, table }: PublishedTable): string => `${quote(schema)}.${quote(table)}`;
const entryOf = (table: PublishedTable): string =>
  table.published ? `${nameOf(table)} (${table.published.map(quote).join(', ')})` : nameOf(table);
/** As names are compared. */
export const keyOf = ({ schema, table }: { readonly schema: string; readonly table: string }): string =>
  `${schema}.${table}`;

/** A table that can't be followed as it is. */
export interface TableFault {
  readonly table: PublishedTable;
  /** With the statement that helps. */
  readonly problem: string;
}

/** Whether a table is there, with its columns, and an identity by which its deleted rows are known. */
const faultOf = async (db: Queryable, watched: PublishedTable): Promise<string | undefined> => {
  const { rows } = await db.query<TableFacts & Record<string, unknown>>(
    `SELECT c.relreplident AS identity,
       (SELECT array_agg(a.attname::text) FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
         WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary ELSE false END)
         AS identity_columns,
       (SELECT array_agg(a.attname::text) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`,
    [watched.schema, watched.table],
  );
  const [facts] = rows;
  const name = nameOf(watched);
  if (!facts) return `there is no table ${name}`;
  const missing = watched.columns.filter((column) => !facts.columns?.includes(column));
  if (missing.length > 0) return `the table ${name} has no column ${missing.join(', ')}`;
  if (facts.identity === 'f') return undefined;
  const unknown = watched.identity.filter((column) => !facts.identity_columns?.includes(column));
  if (unknown.length === 0) return undefined;
  return `deleted rows of ${name} cannot be told without ${unknown.join(', ')} in its replica identity: run ALTER TABLE ${name} REPLICA IDENTITY USING INDEX <a unique index over ${watched.identity.join(', ')}>; or ALTER TABLE ${name} REPLICA IDENTITY FULL;`;
};

const faultsOf = async (db: Queryable, tables: readonly PublishedTable[]): Promise<readonly TableFault[]> => {
  const faults: TableFault[] = [];
  for (const table of tables) {
    const problem = await faultOf(db, table);
    if (problem !== undefined) faults.push({ table, problem });
  }
  return faults;
};

const publishedTables = async (db: Queryable, publication: string): Promise<ReadonlySet<string> | undefined> => {
  const { rows } = await db.query<{ schema: string | null; table: string | null }>(
    `SELECT t.schemaname::text AS schema, t.tablename::text AS table FROM pg_publication AS p
     LEFT JOIN pg_publication_tables AS t ON t.pubname = p.pubname WHERE p.pubname = $1`,
    [publication],
  );
  if (rows.length === 0) return undefined;
  return new Set(rows.flatMap(({ schema, table }) => (schema && table ? [keyOf({ schema, table })] : [])));
};

/** Does work in a transaction. */
export interface Transacting extends Queryable {
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
}

/** Told, in the transaction that publishes them, of tables that were not published: their changes have not been told. */
export type OnPublished = (tx: Queryable, tables: readonly PublishedTable[]) => Promise<void>;

/**
 * Sees to it that the tables are published that can be followed, and the others are not: one without identity would refuse
 * updates. Answers those that are not.
 * @throws StreamUnavailable with the statement when the user may not.
 */
export const ensurePublication = async (
  db: Transacting,
  { name, tables, insertsOnly = false }: Publication,
  onPublished: OnPublished,
): Promise<readonly TableFault[]> => {
  const faults = await faultsOf(db, tables);
  const published = await publishedTables(db, name);
  const refused = faults.map(({ table }) => table).filter((table) => published?.has(keyOf(table)));
  if (refused.length > 0) {
    const list = refused.map(nameOf).join(', ');
    await change(db, `ALTER PUBLICATION ${quote(name)} DROP TABLE ${list}`, async () => {
      const now = await publishedTables(db, name);
      return refused.every((table) => now?.has(keyOf(table)) !== true);
    });
  }
  const added = tables
    .filter((table) => faults.every((fault) => fault.table !== table))
    .filter((table) => !published?.has(keyOf(table)));
  if (published !== undefined && added.length === 0) return faults;
  const verb = published === undefined ? 'CREATE PUBLICATION' : 'ALTER PUBLICATION';
  const list = added.map(entryOf).join(', ');
  const what = added.length === 0 ? '' : ` ${published === undefined ? 'FOR' : 'ADD'} TABLE ${list}`;
  const inserts = published === undefined && insertsOnly ? ` WITH (publish = 'insert')` : '';
  const isDone = async (): Promise<boolean> => {
    const now = await publishedTables(db, name);
    return now !== undefined && added.every((table) => now.has(keyOf(table)));
  };
  await change(db, `${verb} ${quote(name)}${what}${inserts}`, isDone, (tx) => onPublished(tx, added));
  return faults;
};

/** Another process may have been faster. */
const change = async (
  db: Transacting,
  statement: string,
  isDone: () => Promise<boolean>,
  more?: (tx: Queryable) => Promise<void>,
): Promise<void> => {
  try {
    await db.transaction(async (tx) => {
      await tx.query(statement);
      await more?.(tx);
    });
  } catch (error) {
    if (await isDone()) return;
    throw new StreamUnavailable(`tables could not be published: run ${statement}; as their owner`, error);
  }
};
