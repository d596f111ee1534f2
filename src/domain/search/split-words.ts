/**
 * The characters that the SQL function treadle.search_text cuts at and those it lets stand alone: the two lists there
 * and here are the same, so that a query, a document and its highlights are cut alike.
 */
const separators =
  '\\u0001-\\u002f\\u003a-\\u0040\\u005b-\\u0060\\u007b-\\u00a9\\u00ab-\\u00b4\\u00b6-\\u00b9\\u00bb-\\u00bf\\u00d7\\u00f7\\u2000-\\u206f\\u20a0-\\u20cf\\u2190-\\u25ff\\u27c0-\\u2bff\\u2e00-\\u2e7f\\u3000-\\u3004\\u3008-\\u3020\\u3030\\ufe10-\\ufe6f\\uff00-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65\\ufff0-\\uffff';
const standalone =
  '\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u2600-\\u27bf\\u3005-\\u3007\\u3021-\\u302f\\u3031-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{1f000}-\\u{1faff}\\u{20000}-\\u{3ffff}';
const word = new RegExp(`[${standalone}]|[^${separators}${standalone}\\s]+`, 'gu');

export interface FoundWord {
  readonly text: string;
  /** UTF-16 indexes; the end is exclusive. */
  readonly start: number;
  readonly end: number;
}

/** The words of a text as search sees them, with their places. */
export const findWords = (text: string): FoundWord[] =>
  Array.from(text.matchAll(word), (match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }));

export const splitWords = (text: string): string[] => text.match(word) ?? [];
