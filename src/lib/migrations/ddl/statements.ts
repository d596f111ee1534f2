import { sqlTokens, type SqlToken } from './sql-tokens.ts';

/** The tokens of one statement, without its comments and semicolon. */
export type Statement = readonly SqlToken[];

export interface MigrationSql {
  /** Those of DO blocks too. */
  readonly statements: readonly Statement[];
  readonly comments: readonly SqlToken[];
}

/** The body of a function in SQL (`BEGIN ATOMIC … END`) has semicolons of its own. */
class AtomicBody {
  #depth = 0;
  #previous = '';

  get isOpen(): boolean {
    return this.#depth > 0;
  }

  see({ kind, text }: SqlToken): void {
    const before = this.#previous;
    this.#previous = text;
    if (kind !== 'word') return;
    if ((before === 'begin' && text === 'atomic') || (this.isOpen && text === 'case')) this.#depth += 1;
    else if (this.isOpen && text === 'end') this.#depth -= 1;
  }
}

const splitStatements = (tokens: readonly SqlToken[]): readonly Statement[] => {
  const statements: SqlToken[][] = [[]];
  const body = new AtomicBody();
  for (const token of tokens) {
    body.see(token);
    if (token.kind === 'symbol' && token.text === ';' && !body.isOpen) statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements.filter((statement) => statement.length > 0);
};

const isWord = (token: SqlToken | undefined, ...texts: readonly string[]): boolean =>
  token?.kind === 'word' && texts.includes(token.text);

/** What may come before a statement in PL/pgSQL without a semicolon. */
const leads = ['begin', 'then', 'else', 'loop', 'declare'];

const withoutComments = (tokens: readonly SqlToken[]): readonly SqlToken[] =>
  tokens.filter(({ kind }) => kind !== 'comment');

const statementsOfBlock = (tokens: readonly SqlToken[]): readonly Statement[] => {
  const statements: SqlToken[][] = [[]];
  for (const token of withoutComments(tokens)) {
    if (isWord(token, ...leads) || (token.kind === 'symbol' && token.text === ';')) statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements.filter((statement) => statement.length > 0);
};

interface Parts {
  readonly statements: readonly Statement[];
  readonly comments: readonly SqlToken[];
}

/** A statement as it is, or those that a DO block is made of. SQL that it puts together at run time is not seen. */
const openBlock = (statement: Statement): Parts => {
  const block = isWord(statement[0], 'do') ? statement.find(({ kind }) => kind === 'block') : undefined;
  if (!block) return { statements: [statement], comments: [] };
  const tokens = sqlTokens(block.text, block.line);
  return { statements: statementsOfBlock(tokens), comments: tokens.filter(({ kind }) => kind === 'comment') };
};

const sectionLine = (sql: string, direction: 'up' | 'down'): number | undefined => {
  const found = new RegExp(`^[^\\S\\n]*--[\\s-]*${direction}\\s+migration`, 'im').exec(sql);
  return found ? sql.slice(0, found.index).split('\n').length : undefined;
};

/** The part of a migration that `up` runs, with the lines it had: what comes before is left empty. Without sections, all of it. */
export const upSection = (sql: string): string => {
  const lines = sql.split('\n');
  const up = sectionLine(sql, 'up') ?? 1;
  const down = sectionLine(sql, 'down') ?? lines.length + 1;
  return lines.map((line, index) => (index + 1 >= up && (down < up || index + 1 < down) ? line : '')).join('\n');
};

/**
 * The statements that a migration runs on its way up.
 * @throws AppError VALIDATION_ERROR naming the line of a comment or quote that does not end.
 */
export const readMigrationSql = (sql: string): MigrationSql => {
  const tokens = sqlTokens(upSection(sql));
  const parts = splitStatements(withoutComments(tokens)).map(openBlock);
  return {
    statements: parts.flatMap(({ statements }) => statements),
    comments: [...tokens.filter(({ kind }) => kind === 'comment'), ...parts.flatMap(({ comments }) => comments)],
  };
};

const transactionWords = ['begin', 'start', 'commit', 'end', 'rollback', 'abort', 'prepare'];

/** Whether a migration begins or ends transactions itself, so that what it does cannot be rolled back around it. */
export const controlsTransactions = (sql: string): boolean =>
  splitStatements(withoutComments(sqlTokens(upSection(sql)))).some(([first]) => isWord(first, ...transactionWords));
