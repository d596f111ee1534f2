import { splitWords } from './split-words.ts';

/** One thing a document must, or with a minus must not, contain: words in this order. */
export interface QueryTerm {
  readonly words: readonly string[];
  /** As it was typed, without the minus and the quotes. */
  readonly text: string;
  readonly negated: boolean;
  /** In quotes: taken as it is written. */
  readonly quoted: boolean;
}

/** Terms that must all match; of several groups, any. */
export type QueryGroups = readonly (readonly QueryTerm[])[];

const piece = /(-?)"([^"]*)(?:"|$)|\S+/g;

const termsOf = (match: RegExpMatchArray): QueryTerm[] => {
  const [whole, minus = '', phrase] = match;
  if (phrase !== undefined) return [{ words: splitWords(phrase), text: phrase, negated: minus === '-', quoted: true }];
  const negated = /^-[^\s-]/.test(whole);
  return [{ words: splitWords(whole), text: negated ? whole.slice(1) : whole, negated, quoted: false }];
};

/**
 * Reads a query as web searches do: words, "phrases", -without, and `or` between them. A word with punctuation inside
 * (`node.js`, `@fastify/cookie`) is the phrase of its parts. Never fails; what means nothing is left out.
 */
export const parseQuery = (query: string): QueryGroups => {
  const groups: QueryTerm[][] = [[]];
  for (const match of query.matchAll(piece)) {
    if (match[0].toLowerCase() === 'or') {
      groups.push([]);
      continue;
    }
    groups.at(-1)?.push(...termsOf(match).filter((term) => term.words.length > 0));
  }
  return groups.filter((group) => group.length > 0);
};

const termText = ({ words, negated, quoted }: QueryTerm): string => {
  const [first = ''] = words;
  const text = words.length === 1 && !quoted && first.toLowerCase() !== 'or' ? first : `"${words.join(' ')}"`;
  return negated ? `-${text}` : text;
};

/** The query in the language of websearch_to_tsquery. */
export const websearchText = (groups: QueryGroups): string =>
  groups.map((group) => group.map(termText).join(' ')).join(' or ');

/** The words that documents are to contain, once each. */
export const wantedWords = (groups: QueryGroups): readonly string[] => [
  ...new Set(groups.flat().flatMap((term) => (term.negated ? [] : term.words))),
];

/**
 * The query with other spellings of some words put in beside each other: every combination becomes a group, the first
 * `most` of them.
 */
export const withSpellings = (
  groups: QueryGroups,
  spellings: ReadonlyMap<string, readonly string[]>,
  most = 16,
): QueryGroups => {
  const expanded = groups.flatMap((group) => {
    let variants: QueryTerm[][] = [[]];
    for (const term of group) {
      const choices =
        !term.negated && !term.quoted && term.words.length === 1 ? spellings.get(term.words[0] ?? '') : undefined;
      const terms = choices?.length ? choices.map((word) => ({ ...term, words: [word] })) : [term];
      variants = variants.flatMap((variant) => terms.map((choice) => [...variant, choice])).slice(0, most);
    }
    return variants;
  });
  return expanded.slice(0, most);
};
