import vm from 'node:vm';
import { validationError } from '../errors/app-error.ts';
import type { Invalidation } from './invalidation.ts';

const longest = 1_000;
const keysAtOnce = 500;
const patienceMs = 50;

/** Tells which of these keys match. @throws AppError VALIDATION_ERROR when that takes too long. */
export type KeyMatcher = (keys: readonly string[]) => readonly string[];

export interface KeyPattern {
  readonly invalidation: Extract<Invalidation, { glob: string }> | Extract<Invalidation, { regexp: object }>;
  /** Every key that matches begins so. */
  readonly prefix: string;
  readonly matching: KeyMatcher;
}

const refuse = (message: string) => validationError('the pattern', [{ path: 'pattern', message }]);

type Piece = { readonly kind: 'star' } | { readonly kind: 'any' } | { readonly kind: 'text'; readonly text: string };

const piecesOf = (glob: string): readonly Piece[] => {
  const pieces: Piece[] = [];
  for (let index = 0; index < glob.length; index += 1) {
    const character = glob[index];
    if (character === '*') {
      if (pieces.at(-1)?.kind !== 'star') pieces.push({ kind: 'star' });
    } else if (character === '?') pieces.push({ kind: 'any' });
    else {
      if (character === '\\') index += 1;
      pieces.push({ kind: 'text', text: glob[index] ?? '\\' });
    }
  }
  return pieces;
};

/** By remembering the last star alone, so that no pattern takes longer than its length times the key's. */
const matchesGlob = (pieces: readonly Piece[], key: string): boolean => {
  let piece = 0;
  let star = -1;
  let resumeAt = 0;
  for (let place = 0; place < key.length;) {
    const wanted = pieces[piece];
    if (wanted?.kind === 'star') {
      star = piece;
      resumeAt = place;
      piece += 1;
    } else if (wanted && (wanted.kind === 'any' || wanted.text === key[place])) {
      piece += 1;
      place += 1;
    } else if (star >= 0) {
      piece = star + 1;
      resumeAt += 1;
      place = resumeAt;
    } else return false;
  }
  return pieces.slice(piece).every(({ kind }) => kind === 'star');
};

const globPattern = (glob: string): KeyPattern => {
  const pieces = piecesOf(glob);
  let prefix = '';
  for (const piece of pieces) {
    if (piece.kind !== 'text') break;
    prefix += piece.text;
  }
  return {
    invalidation: { glob },
    prefix,
    matching: (keys) => keys.filter((key) => key.startsWith(prefix) && matchesGlob(pieces, key)),
  };
};

const matchAll = new vm.Script('keys.filter((key) => new RegExp(source, flags).test(key))');

const isTimeout = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';

const areTexts = (found: unknown): found is readonly string[] => Array.isArray(found);

/** An expression that backtracks without end is ended by the clock: nothing else can be known of it beforehand. */
const regexpPattern = ({ source, flags }: { readonly source: string; readonly flags: string }): KeyPattern => {
  const matching: KeyMatcher = (keys) => {
    const found: string[] = [];
    for (let from = 0; from < keys.length; from += keysAtOnce) {
      const context = vm.createContext({ keys: keys.slice(from, from + keysAtOnce), source, flags });
      try {
        const part: unknown = matchAll.runInContext(context, { timeout: patienceMs });
        if (areTexts(part)) found.push(...part);
      } catch (error) {
        if (!isTimeout(error)) throw error;
        throw refuse(`is too slow: it was not through with ${keysAtOnce} keys after ${patienceMs} ms`);
      }
    }
    return found;
  };
  return { invalidation: { regexp: { source, flags } }, prefix: '', matching };
};

/** A pattern as it came over the bus. @throws SyntaxError for what is no expression. */
export const patternOf = (invalidation: KeyPattern['invalidation']): KeyPattern =>
  'glob' in invalidation ? globPattern(invalidation.glob) : regexpPattern(invalidation.regexp);

/**
 * A glob (`*` any text, `?` one character, `\` before what stands for itself) or an expression, over whole keys.
 * @throws AppError VALIDATION_ERROR for one that is empty or over 1,000 characters.
 */
export const readPattern = (pattern: string | RegExp): KeyPattern => {
  const text = typeof pattern === 'string' ? pattern : pattern.source;
  if (text === '' || text.length > longest) throw refuse(`must have 1 to ${longest} characters`);
  if (typeof pattern === 'string') return globPattern(pattern);
  // Those two remember where they stopped.
  return regexpPattern({ source: pattern.source, flags: pattern.flags.replaceAll(/[gy]/g, '') });
};
