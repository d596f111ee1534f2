import type { estypes } from '@elastic/elasticsearch';
import { foldText } from '../../embeddings/fold-text.ts';
import { parseQuery, type QueryGroups, type QueryTerm } from '../query-text.ts';
import { stopWords } from './stop-words.ts';
import { prefixOfKey, signsOf, textKey } from './text-keys.ts';

type Query = estypes.QueryDslQueryContainer;

/** A query as it is asked, and what is marked in the documents it finds. */
export interface WordQuery {
  readonly query: Query;
  readonly highlight: Query | undefined;
}

const stopped = new Set(stopWords);
const shownFields = ['title^3', 'excerpt^2', 'content'];
const fields = [...shownFields, 'tags.words', 'parts'];
/** Mistakes are looked for in words as they are written, too: the stem of a misspelt one is seldom right. */
const misspeltFields = [...shownFields, 'tags.words', 'title.suggest^3', 'tags.suggest'];
const mostMisspelt = 32;
/** To look for what is spelt like a word of hundreds of letters takes seconds. */
const longestMisspelt = 64;

const anyOf = (queries: readonly Query[]): Query => {
  const [only] = queries;
  return only && queries.length === 1 ? only : { bool: { should: [...queries], minimum_should_match: 1 } };
};

const best = (queries: readonly Query[]): Query => {
  const [only] = queries;
  return only && queries.length === 1 ? only : { dis_max: { queries: [...queries] } };
};

/** A word with and without its accents. */
const wordQuery = (word: string): Query =>
  best(
    [...new Set([word.toLowerCase(), foldText(word)])].map((query): Query => ({
      multi_match: { query, type: 'best_fields', operator: 'and', fields },
    })),
  );

/** A phrase as it is typed, which is how the tokenizer cut it in documents, or its words one after another. */
const phraseQuery = ({ text, words }: QueryTerm): Query =>
  best(
    [...new Set([text, words.join(' '), words.map(foldText).join(' ')])].map((query): Query => ({
      multi_match: { query, type: 'phrase', fields },
    })),
  );

const exactQuery = (term: QueryTerm): Query => {
  const [word = ''] = term.words;
  return term.words.length === 1 ? wordQuery(word) : phraseQuery(term);
};

const mayBeMisspelt = ({ negated, quoted, words }: QueryTerm): boolean =>
  !negated && !quoted && words.length === 1 && (words[0] ?? '').length <= longestMisspelt;

const misspeltQuery = (term: QueryTerm): Query =>
  mayBeMisspelt(term)
    ? {
        multi_match: {
          query: term.words[0] ?? '',
          type: 'best_fields',
          fields: misspeltFields,
          fuzziness: 'AUTO',
          prefix_length: 2,
        },
      }
    : exactQuery(term);

/** Terms of nothing but stop words ask for nothing, as in Postgres. */
const meaningful = (groups: QueryGroups): QueryGroups =>
  groups
    .map((group) => group.filter(({ words }) => words.some((word) => !stopped.has(word.toLowerCase()))))
    .filter((group) => group.length > 0);

const groupsQuery = (groups: QueryGroups, queryOf: (term: QueryTerm) => Query): Query =>
  anyOf(
    groups.map((group): Query => ({
      bool: {
        must: group.filter((term) => !term.negated).map(queryOf),
        must_not: group.filter((term) => term.negated).map(queryOf),
      },
    })),
  );

/** Titles that are, begin with or hold the words in their order come first; none is found by this alone. */
const boosts = (text: string): Query[] => {
  const key = textKey(text);
  return [
    { term: { title_key: { value: key, boost: 4 } } },
    { prefix: { title_key: { value: prefixOfKey(key), boost: 2 } } },
    { multi_match: { query: text, type: 'phrase', fields: shownFields, slop: 1 } },
    { match_phrase_prefix: { 'title.suggest': { query: text } } },
  ];
};

const highlightOf = (groups: QueryGroups, queryOf: (term: QueryTerm) => Query): Query | undefined => {
  const wanted = groups.flat().filter((term) => !term.negated);
  // Each word of a phrase is marked, as in Postgres.
  const words = wanted.flatMap((term) =>
    term.words.length === 1 ? [term] : term.words.map((word): QueryTerm => ({ ...term, words: [word], text: word })),
  );
  return words.length === 0 ? undefined : anyOf(words.map(queryOf));
};

/** Stop words and signs alone: titles that hold them as they are. */
const literalQuery = (text: string): WordQuery => {
  const signs = signsOf(text);
  const query: Query =
    textKey(text) === ''
      ? { bool: { filter: signs.map((sign): Query => ({ term: { title_signs: sign } })) } }
      : { bool: { must: [{ match_phrase: { 'title.suggest': textKey(text) } }], should: boosts(text) } };
  return { query: signs.length === 0 && textKey(text) === '' ? { match_none: {} } : query, highlight: undefined };
};

/** Every word must be in a document, in any of its fields. Any text has a reading. */
export const readWordQuery = (text: string): WordQuery => {
  const groups = meaningful(parseQuery(text));
  if (groups.length === 0) return literalQuery(text);
  return {
    query: { bool: { must: [groupsQuery(groups, exactQuery)], should: boosts(text) } },
    highlight: highlightOf(groups, exactQuery),
  };
};

/** The same with words that may be misspelt, for when nothing was found; undefined when no word may be, or too many. */
export const readMisspelt = (text: string): WordQuery | undefined => {
  const groups = meaningful(parseQuery(text));
  const misspelt = groups.flat().filter(mayBeMisspelt).length;
  if (misspelt === 0 || misspelt > mostMisspelt) return undefined;
  return { query: groupsQuery(groups, misspeltQuery), highlight: highlightOf(groups, misspeltQuery) };
};
