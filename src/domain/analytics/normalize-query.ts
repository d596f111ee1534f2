const longestQuery = 500;

const cut = (text: string): string =>
  text.length <= longestQuery ? text : Array.from(text).slice(0, longestQuery).join('');

/** A query as it can be kept: without NUL and halves of surrogate pairs, up to 500 characters. */
export const storableQuery = (query: string): string => cut(query.toWellFormed().replaceAll('\0', ' ').trim());

/** What queries are counted by: compatible characters are one, upper case is lower case, and spaces are single. */
export const normalizeQuery = (query: string): string =>
  cut(query.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim());
