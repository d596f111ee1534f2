import type { SqlToken } from './sql-tokens.ts';
import { hasOuterWords, outerTokens, splitAtCommas, TokenReader } from './token-reader.ts';

/** A statement, or an action of one, that keeps a large table from its users for long. */
export interface Hazard {
  readonly line: number;
  /** As `to_regclass` reads it; empty for the whole database. */
  readonly table: string;
  /** What it does to the table. */
  readonly what: string;
  readonly instead: string;
  /** Of SET NOT NULL: the column. With a valid check that it is not null, the table is not read. */
  readonly notNullColumn?: string;
}

type Fault = Omit<Hazard, 'line' | 'table'>;

const expandAndContract =
  'add a column beside it, fill it with a data migration, and take the old one out in a later release';

/** Functions whose result is the same for every row of a statement: such a default is kept once, not written to each row. */
const steady: ReadonlySet<string> = new Set(
  (
    'now transaction_timestamp statement_timestamp current_setting to_timestamp make_interval date_trunc make_date coalesce nullif cast ' +
    'lower upper concat format md5 length jsonb_build_object jsonb_build_array json_build_object json_build_array to_jsonb array row'
  ).split(' '),
);

/** What comes after a column's default. */
const clauses = 'not null check unique primary references collate constraint generated storage compression'.split(' ');

const defaultOf = (definition: readonly SqlToken[]): readonly SqlToken[] => {
  const outer = new Set(outerTokens(definition));
  const from = definition.findIndex((token) => outer.has(token) && token.kind === 'word' && token.text === 'default');
  if (from < 0) return [];
  const after = definition.slice(from + 1);
  // `DEFAULT NULL` begins with a word that otherwise ends a default.
  const end = after.findIndex(
    (token, index) => index > 0 && outer.has(token) && token.kind === 'word' && clauses.includes(token.text),
  );
  return end < 0 ? after : after.slice(0, end);
};

/** The first function of an expression that may answer something else for each row. */
const volatileCall = (expression: readonly SqlToken[]): string | undefined =>
  expression.find(({ kind, text }, index) => {
    const before = expression[index - 1]?.text;
    const isCall = (kind === 'word' || kind === 'name') && expression[index + 1]?.text === '(';
    // After a colon or AS it is a type, such as numeric(10, 2).
    return isCall && before !== ':' && before !== 'as' && !steady.has(text);
  })?.text;

const constraintFault = (reader: TokenReader): Fault | undefined => {
  const kind = reader.acceptOneOf(['check', 'foreign', 'unique', 'primary', 'exclude', 'not']);
  const rest = reader.rest();
  switch (kind) {
    case 'check':
    case 'foreign':
    case 'not': {
      const name = { check: 'CHECK', foreign: 'FOREIGN KEY', not: 'NOT NULL' }[kind];
      const nobody = kind === 'foreign' ? 'nobody can write it' : 'nobody can read or write it';
      if (hasOuterWords(rest, 'not', 'valid')) return undefined;
      return {
        what: `adding the ${name} reads the whole table, while ${nobody}`,
        instead: 'add it NOT VALID, and VALIDATE CONSTRAINT in a migration after this one',
      };
    }
    case 'unique':
    case 'primary':
      if (hasOuterWords(rest, 'using', 'index')) return undefined;
      return {
        what: `${kind === 'unique' ? 'UNIQUE' : 'PRIMARY KEY'} builds an index, while nobody can read or write the table`,
        instead: 'CREATE UNIQUE INDEX CONCURRENTLY first, and add the constraint USING INDEX',
      };
    case 'exclude':
      return {
        what: 'EXCLUDE builds an index, while nobody can read or write the table',
        instead: 'there is no way without the lock: do it at a quiet time',
      };
    case undefined:
      return undefined;
    default:
      return kind satisfies never;
  }
};

const columnFaults = (column: string, definition: readonly SqlToken[]): readonly Fault[] => {
  const faults: Fault[] = [];
  const type = definition[0]?.text ?? '';
  const expression = defaultOf(definition);
  const call = volatileCall(expression);
  const isComputed = hasOuterWords(definition, 'generated') && hasOuterWords(definition, 'stored');
  if (/^(?:small|big)?serial\d?$/.test(type) || hasOuterWords(definition, 'as', 'identity') || call !== undefined)
    faults.push({
      what: `column ${column} gets a value of its own in each row${call === undefined ? '' : `, from ${call}()`}: the whole table is written anew, while nobody can read or write it`,
      instead: 'add the column without a default, SET DEFAULT for new rows, and fill the others with a data migration',
    });
  if (isComputed)
    faults.push({
      what: `column ${column} is computed and stored: the whole table is written anew, while nobody can read or write it`,
      instead: 'add a plain column, keep it by a trigger, and fill it with a data migration',
    });
  if (hasOuterWords(definition, 'check'))
    faults.push({
      what: `the CHECK of column ${column} reads the whole table, while nobody can read or write it`,
      instead: 'add the column without it; then ADD CONSTRAINT … CHECK … NOT VALID, and VALIDATE CONSTRAINT later',
    });
  if (hasOuterWords(definition, 'unique') || hasOuterWords(definition, 'primary', 'key'))
    faults.push({
      what: `column ${column} builds an index, while nobody can read or write the table`,
      instead: 'add the column without it; then CREATE UNIQUE INDEX CONCURRENTLY',
    });
  const hasValue = expression.length > 0 && expression[0]?.text !== 'null';
  if (hasOuterWords(definition, 'references') && hasValue)
    faults.push({
      what: `the foreign key of column ${column}, with its default, reads the whole table, while nobody can write it`,
      instead: 'add the column without it; then ADD FOREIGN KEY … NOT VALID, and VALIDATE CONSTRAINT later',
    });
  return faults;
};

const changeFault = (reader: TokenReader): Fault | undefined => {
  reader.accept('column');
  const column = reader.name();
  if (reader.accept('type') || reader.accept('set', 'data', 'type'))
    return {
      what: `another TYPE for column ${column} writes the whole table anew, while nobody can read or write it`,
      instead: expandAndContract,
    };
  if (reader.accept('set', 'expression'))
    return {
      what: `another expression for column ${column} writes the whole table anew, while nobody can read or write it`,
      instead: expandAndContract,
    };
  if (!reader.accept('set', 'not', 'null')) return undefined;
  return {
    what: `SET NOT NULL for column ${column} reads the whole table, while nobody can read or write it`,
    instead: `ADD CONSTRAINT … CHECK (${column} IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT, and then SET NOT NULL, which needs not look`,
    notNullColumn: column,
  };
};

const storageFault = (reader: TokenReader): Fault | undefined => {
  const isMoved =
    reader.accept('access', 'method') || reader.acceptOneOf(['tablespace', 'logged', 'unlogged']) !== undefined;
  if (!isMoved) return undefined;
  return {
    what: 'the whole table is written anew in another place, while nobody can read or write it',
    instead: 'move it at a quiet time, or with pg_repack',
  };
};

const constraintWords = ['check', 'foreign', 'unique', 'primary', 'exclude', 'not'];

const actionFaults = (action: readonly SqlToken[]): readonly Fault[] => {
  const reader = new TokenReader(action);
  const one = (fault: Fault | undefined): readonly Fault[] => (fault ? [fault] : []);
  if (reader.accept('alter')) return one(changeFault(reader));
  if (reader.accept('set')) return one(storageFault(reader));
  if (!reader.accept('add')) return [];
  if (reader.accept('constraint')) {
    reader.name();
    return one(constraintFault(reader));
  }
  const next = reader.rest()[0];
  if (next?.kind === 'word' && constraintWords.includes(next.text)) return one(constraintFault(reader));
  reader.accept('column');
  reader.accept('if', 'not', 'exists');
  const column = reader.name();
  return columnFaults(column, reader.rest());
};

/** What an ALTER TABLE does that takes long; `reader` stands after these two words. */
export const alterTableHazards = (reader: TokenReader): readonly Hazard[] => {
  reader.accept('if', 'exists');
  reader.accept('only');
  const table = reader.name();
  reader.accept('*');
  return splitAtCommas(reader.rest()).flatMap((action) =>
    actionFaults(action).map((fault) => ({ ...fault, line: action[0]?.line ?? reader.line, table })),
  );
};
