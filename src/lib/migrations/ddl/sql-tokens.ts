import { validationError } from '../../errors/app-error.ts';

/** A piece of SQL that means something by itself. */
export interface SqlToken {
  /** `name`: an identifier in double quotes; `block`: what stands between dollar quotes. */
  readonly kind: 'word' | 'name' | 'string' | 'block' | 'number' | 'symbol' | 'comment';
  /** As written; a word in lower case, a block without its quotes. */
  readonly text: string;
  /** Where it begins, from 1. */
  readonly line: number;
  /** Where it ends. */
  readonly endLine: number;
}

interface Piece {
  readonly kind: SqlToken['kind'] | 'space';
  readonly text: string;
  readonly end: number;
}

const start = 'A-Za-z_\\u0080-\\uffff';
const space = /\s+/y;
const lineComment = /--[^\r\n]*/y;
const escapeString = /e'[^'\\]*(?:(?:''|\\[\s\S])[^'\\]*)*'/iy;
const plainString = /(?:[bxn]|u&)?'[^']*(?:''[^']*)*'/iy;
const quotedName = /(?:u&)?"[^"]*(?:""[^"]*)*"/iy;
const openingDollar = new RegExp(`\\$(?:[${start}][\\w\\u0080-\\uffff]*)?\\$`, 'y');
const word = new RegExp(`[${start}][\\w$\\u0080-\\uffff]*`, 'y');
const number = /\d[\w.]*/y;

const matchAt = (pattern: RegExp, sql: string, at: number): string | undefined => {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0];
};

/** Comments nest in Postgres. */
const endOfComment = (sql: string, at: number): number | undefined => {
  let depth = 0;
  for (const mark of sql.slice(at).matchAll(/\/\*|\*\//g)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return at + mark.index + 2;
  }
  return undefined;
};

/** What begins with a quote and does not end is not read as something else. */
const isOpen = (sql: string, at: number): boolean => /['"]/.test(sql[at] ?? '');

const readBlock = (sql: string, at: number): Piece | undefined => {
  const quote = matchAt(openingDollar, sql, at);
  if (quote === undefined) return undefined;
  const closing = sql.indexOf(quote, at + quote.length);
  if (closing < 0) return undefined;
  return { kind: 'block', text: sql.slice(at + quote.length, closing), end: closing + quote.length };
};

const simple: readonly (readonly [Piece['kind'], RegExp])[] = [
  ['space', space],
  ['comment', lineComment],
  ['string', escapeString],
  ['string', plainString],
  ['name', quotedName],
  ['word', word],
  ['number', number],
];

const readPiece = (sql: string, at: number): Piece | undefined => {
  if (sql.startsWith('/*', at)) {
    const end = endOfComment(sql, at);
    return end === undefined ? undefined : { kind: 'comment', text: sql.slice(at, end), end };
  }
  for (const [kind, pattern] of simple) {
    const text = matchAt(pattern, sql, at);
    if (text !== undefined) return { kind, text: kind === 'word' ? text.toLowerCase() : text, end: at + text.length };
  }
  if (matchAt(openingDollar, sql, at) !== undefined) return readBlock(sql, at);
  return isOpen(sql, at) ? undefined : { kind: 'symbol', text: sql.charAt(at), end: at + 1 };
};

const lineBreaks = (text: string): number => text.split('\n').length - 1;

/**
 * The tokens of a text of SQL, comments among them; `firstLine` is the number of its first line.
 * @throws AppError VALIDATION_ERROR naming the line of a comment or quote that does not end.
 */
export const sqlTokens = (sql: string, firstLine = 1): readonly SqlToken[] => {
  const tokens: SqlToken[] = [];
  let line = firstLine;
  for (let at = 0; at < sql.length;) {
    const piece = readPiece(sql, at);
    if (!piece)
      throw validationError('the SQL', [
        { path: `line ${line}`, message: 'a comment or quote begins that does not end' },
      ]);
    const endLine = line + lineBreaks(sql.slice(at, piece.end));
    if (piece.kind !== 'space') tokens.push({ kind: piece.kind, text: piece.text, line, endLine });
    line = endLine;
    at = piece.end;
  }
  return tokens;
};
