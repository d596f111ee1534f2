import { findWords, type FoundWord } from './split-words.ts';

const fragmentLength = 150;
const mostFragments = 3;
/** How much of a fragment stands before its first match. */
const leadIn = 40;

interface Range {
  readonly start: number;
  readonly end: number;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');

const isLowSurrogate = (text: string, index: number): boolean => {
  const code = text.charCodeAt(index);
  return code >= 0xdc_00 && code <= 0xdf_ff;
};

/** Moves an edge to the nearest space within reach, towards the inside; never into the middle of a character. */
const innerEdge = (text: string, index: number, step: 1 | -1, reach: number): number => {
  if (index <= 0 || index >= text.length) return Math.min(Math.max(index, 0), text.length);
  for (let moved = 0; moved <= reach; moved += 1) {
    const at = index + moved * step;
    if (/\s/.test(text.charAt(step === 1 ? at - 1 : at))) return at;
  }
  return isLowSurrogate(text, index) ? index + step : index;
};

const windowFrom = (text: string, first: Range): Range => {
  const start = innerEdge(text, Math.max(0, first.start - leadIn), 1, Math.max(0, Math.min(20, first.start)));
  const from = Math.min(start, first.start);
  const end = Math.max(first.end, innerEdge(text, from + fragmentLength, -1, 30));
  return { start: from, end: Math.min(end, text.length) };
};

const within = (range: Range, matches: readonly FoundWord[]): readonly FoundWord[] =>
  matches.filter((match) => match.start >= range.start && match.end <= range.end);

const different = (matches: readonly FoundWord[], kindOf: (word: string) => string): number =>
  new Set(matches.map((match) => kindOf(match.text))).size;

/** The windows with the most different matches, none overlapping, in the order of the text. */
const bestWindows = (
  text: string,
  matches: readonly FoundWord[],
  kindOf: (word: string) => string,
): readonly Range[] => {
  const windows = matches.slice(0, 500).map((match) => {
    const range = windowFrom(text, match);
    const inside = within(range, matches);
    return { ...range, worth: different(inside, kindOf) * 100 + Math.min(inside.length, 99) };
  });
  const chosen: Range[] = [];
  for (const candidate of windows.toSorted((a, b) => b.worth - a.worth || a.start - b.start)) {
    if (chosen.length === mostFragments) break;
    if (chosen.every((other) => candidate.end <= other.start || candidate.start >= other.end)) chosen.push(candidate);
  }
  return chosen.toSorted((a, b) => a.start - b.start);
};

const render = (text: string, range: Range, matches: readonly FoundWord[]): string => {
  let html = '';
  let at = range.start;
  for (const match of within(range, matches)) {
    html += `${escapeHtml(text.slice(at, match.start))}<mark>${escapeHtml(match.text)}</mark>`;
    at = match.end;
  }
  html += escapeHtml(text.slice(at, range.end));
  const shown = html.replaceAll(/\s+/g, ' ').trim();
  return `${range.start > 0 ? '… ' : ''}${shown}${range.end < text.length ? ' …' : ''}`;
};

/**
 * Up to three pieces of `text` of about 150 characters around the words for which `kindOf` knows a kind, as HTML:
 * everything is escaped, those words are in `<mark>`. Empty when there is none of them.
 */
export const highlight = (text: string, kindOf: (word: string) => string | undefined): readonly string[] => {
  const matches = findWords(text).filter((word) => kindOf(word.text) !== undefined);
  if (matches.length === 0) return [];
  return bestWindows(text, matches, (word) => kindOf(word) ?? '').map((range) => render(text, range, matches));
};

/** The beginning of `text` as one escaped piece of about 150 characters, for what matched without words. */
export const opening = (text: string): readonly string[] => {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  return [render(trimmed, { start: 0, end: innerEdge(trimmed, fragmentLength, -1, 30) }, [])];
};
