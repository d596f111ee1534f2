import type { SqlToken } from './sql-tokens.ts';

const plainName = /^"[a-z_][a-z0-9_$]*"$/;

/** The same name always as the same text, whether it is quoted or not. */
const nameText = ({ kind, text }: SqlToken): string =>
  kind === 'name' && plainName.test(text) ? text.slice(1, -1) : text;

/** Reads the tokens of a statement from left to right. */
export class TokenReader {
  readonly #tokens: readonly SqlToken[];
  #at = 0;

  constructor(tokens: readonly SqlToken[]) {
    this.#tokens = tokens;
  }

  /** The line of the next token. */
  get line(): number {
    return (this.#tokens[this.#at] ?? this.#tokens.at(-1))?.line ?? 1;
  }

  /** Reads these words or symbols if they come next, all of them or none. */
  accept(...texts: readonly string[]): boolean {
    const fits = texts.every((text, index) => {
      const token = this.#tokens[this.#at + index];
      return token?.text === text && (token.kind === 'word' || token.kind === 'symbol');
    });
    if (fits) this.#at += texts.length;
    return fits;
  }

  /** Reads one of these, and answers which. */
  acceptOneOf<T extends string>(texts: readonly T[]): T | undefined {
    return texts.find((text) => this.accept(text));
  }

  /** A name with its schema, as `to_regclass` reads it; empty where none comes. */
  name(): string {
    const parts: string[] = [];
    do {
      const token = this.#tokens[this.#at];
      if (token?.kind !== 'word' && token?.kind !== 'name') break;
      parts.push(nameText(token));
      this.#at += 1;
    } while (this.accept('.'));
    return parts.join('.');
  }

  /** Passes over what stands in parentheses, if that comes next, and answers it. */
  parenthesized(): readonly SqlToken[] {
    if (!this.accept('(')) return [];
    const from = this.#at;
    for (let depth = 1; depth > 0 && this.#at < this.#tokens.length; this.#at += 1) {
      const { text, kind } = this.#tokens[this.#at] ?? { text: '', kind: 'symbol' };
      if (kind === 'symbol') depth += text === '(' ? 1 : text === ')' ? -1 : 0;
    }
    return this.#tokens.slice(from, this.#at - 1);
  }

  /** Passes over everything up to this word outside of parentheses, and over the word; false where there is none. */
  skipPast(text: string): boolean {
    while (this.#at < this.#tokens.length) {
      if (this.accept(text)) return true;
      if (this.#tokens[this.#at]?.text === '(') this.parenthesized();
      else this.#at += 1;
    }
    return false;
  }

  rest(): readonly SqlToken[] {
    return this.#tokens.slice(this.#at);
  }
}

/** Each token outside of parentheses and brackets, or those inside too, with how deep it lies. */
const withDepth = (tokens: readonly SqlToken[]): readonly (readonly [SqlToken, number])[] => {
  let depth = 0;
  return tokens.map((token) => {
    if (token.kind === 'symbol' && /[)\]]/.test(token.text)) depth -= 1;
    const at = depth;
    if (token.kind === 'symbol' && /[([]/.test(token.text)) depth += 1;
    return [token, at] as const;
  });
};

/** The parts between commas that are not in parentheses. */
export const splitAtCommas = (tokens: readonly SqlToken[]): readonly (readonly SqlToken[])[] => {
  const parts: SqlToken[][] = [[]];
  for (const [token, depth] of withDepth(tokens)) {
    if (depth === 0 && token.kind === 'symbol' && token.text === ',') parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts.filter((part) => part.length > 0);
};

/** The tokens outside of parentheses. */
export const outerTokens = (tokens: readonly SqlToken[]): readonly SqlToken[] =>
  withDepth(tokens)
    .filter(([token, depth]) => depth === 0 && !/[()[\]]/.test(token.text))
    .map(([token]) => token);

/** Whether these words come one after another outside of parentheses. */
export const hasOuterWords = (tokens: readonly SqlToken[], ...words: readonly string[]): boolean => {
  const outer = outerTokens(tokens);
  return outer.some((_, from) =>
    words.every((text, index) => outer[from + index]?.kind === 'word' && outer[from + index]?.text === text),
  );
};
