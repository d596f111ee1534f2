import { alterTableHazards, type Hazard } from './alter-table.ts';
import { readMigrationSql, type Statement } from './statements.ts';
import { hasOuterWords, splitAtCommas, TokenReader } from './token-reader.ts';
import type { SqlToken } from './sql-tokens.ts';

/** The table that a statement makes; not one that may have been there. */
const madeBy = (statement: Statement): string | undefined => {
  const reader = new TokenReader(statement);
  if (!reader.accept('create')) return undefined;
  reader.acceptOneOf(['global', 'local']);
  reader.acceptOneOf(['temp', 'temporary', 'unlogged', 'foreign']);
  if (!reader.accept('table') && !reader.accept('materialized', 'view')) return undefined;
  return reader.accept('if', 'not', 'exists') ? undefined : reader.name();
};

/** VALIDATE CONSTRAINT, after which SET NOT NULL need not read the table. */
const validatedBy = (statement: Statement): string | undefined => {
  const reader = new TokenReader(statement);
  if (!reader.accept('alter', 'table')) return undefined;
  reader.accept('if', 'exists');
  reader.accept('only');
  const table = reader.name();
  return hasOuterWords(reader.rest(), 'validate', 'constraint') ? table : undefined;
};

const writtenAnew = 'the whole table is written anew, while nobody can read or write it';
const quietTime = 'do it at a quiet time, or use pg_repack, which lets others work meanwhile';

const indexHazards = (reader: TokenReader, line: number): readonly Hazard[] => {
  if (reader.accept('concurrently') || !reader.skipPast('on')) return [];
  reader.accept('only');
  return [
    {
      line,
      table: reader.name(),
      what: 'the index is built while nobody can write the table',
      instead: 'CREATE INDEX CONCURRENTLY, outside of a transaction',
    },
  ];
};

const vacuumHazards = (reader: TokenReader, line: number): readonly Hazard[] => {
  const options = reader.parenthesized();
  const isFull = reader.accept('full') || options.some(({ kind, text }) => kind === 'word' && text === 'full');
  if (!isFull) return [];
  let option: string | undefined;
  do option = reader.acceptOneOf(['freeze', 'verbose', 'analyze']);
  while (option !== undefined);
  const lists = splitAtCommas(reader.rest());
  const tables = lists.length === 0 ? [''] : lists.map((tokens) => new TokenReader(tokens).name());
  return tables.map((table) => ({ line, table, what: writtenAnew, instead: `plain VACUUM; or ${quietTime}` }));
};

const clusterHazards = (reader: TokenReader, line: number): readonly Hazard[] => {
  reader.parenthesized();
  reader.accept('verbose');
  const name = reader.name();
  // The old way to write it names the index first.
  const table = reader.accept('on') ? reader.name() : name;
  return [{ line, table, what: writtenAnew, instead: quietTime }];
};

const harmless = ['access share', 'row share', 'row exclusive'];

const lockHazards = (reader: TokenReader, line: number): readonly Hazard[] => {
  reader.accept('table');
  const rest = reader.rest();
  const from = rest.findIndex(({ kind, text }) => kind === 'word' && text === 'in');
  const mode = rest.slice(from + 1).map(({ text }) => text);
  if (from >= 0 && harmless.includes(mode.join(' ').replace(/ mode.*$/, ''))) return [];
  return splitAtCommas(from < 0 ? rest : rest.slice(0, from)).map((tokens) => {
    const each = new TokenReader(tokens);
    each.accept('only');
    return {
      line,
      table: each.name(),
      what: 'the table is locked until the migration ends',
      instead: 'lock the rows that matter (SELECT … FOR UPDATE), in batches, in a data migration',
    };
  });
};

const reindexHazards = (reader: TokenReader, line: number): readonly Hazard[] => {
  reader.parenthesized();
  const kind = reader.acceptOneOf(['index', 'table', 'schema', 'database', 'system']);
  if (reader.accept('concurrently')) return [];
  const table = kind === 'index' || kind === 'table' ? reader.name() : '';
  return [
    {
      line,
      table,
      what: 'the index is built while nobody can write the table',
      instead: 'REINDEX … CONCURRENTLY, outside of a transaction',
    },
  ];
};

const hazardsOf = (statement: Statement): readonly Hazard[] => {
  const reader = new TokenReader(statement);
  const { line } = reader;
  if (reader.accept('alter', 'table')) return alterTableHazards(reader);
  if (reader.accept('create', 'index') || reader.accept('create', 'unique', 'index')) return indexHazards(reader, line);
  if (reader.accept('vacuum')) return vacuumHazards(reader, line);
  if (reader.accept('cluster')) return clusterHazards(reader, line);
  if (reader.accept('lock')) return lockHazards(reader, line);
  return reader.accept('reindex') ? reindexHazards(reader, line) : [];
};

const isReason = ({ text }: SqlToken): boolean => /^--\s*safe:\s*\S/i.test(text);

/**
 * What a migration does on its way up that would keep a large table from its users for long, by line: tables that it makes
 * itself left out, and what stands below a comment `-- Safe: <reason>`.
 * @throws AppError VALIDATION_ERROR naming the line of a comment or quote that does not end.
 */
export const findHazards = (sql: string): readonly Hazard[] => {
  const { statements, comments } = readMigrationSql(sql);
  const declaredSafe = new Set(comments.filter(isReason).map(({ line }) => line + 1));
  const made = new Set<string>();
  const validated = new Set<string>();
  const hazards: Hazard[] = [];
  for (const statement of statements) {
    const first = statement[0]?.line ?? 0;
    const found = hazardsOf(statement).filter(
      ({ line, table, notNullColumn }) =>
        !made.has(table) &&
        !declaredSafe.has(line) &&
        !declaredSafe.has(first) &&
        !(notNullColumn !== undefined && validated.has(table)),
    );
    hazards.push(...found);
    const table = madeBy(statement);
    if (table !== undefined) made.add(table);
    const checked = validatedBy(statement);
    if (checked !== undefined) validated.add(checked);
  }
  return hazards;
};
