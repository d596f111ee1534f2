import { approximateTokens } from './approximate-tokens.ts';

/** A line, sentence or part of one: what chunks are made of. Offsets are UTF-16 indexes, the end exclusive. */
export interface Atom {
  readonly start: number;
  readonly end: number;
  readonly tokens: number;
  /** What begins here. */
  readonly opens: 'heading' | 'paragraph' | 'nothing';
}

const longestAtom = 400;
const headingLine = /^ {0,3}#{1,6}(?:\s|$)/;
const fenceLine = /^ {0,3}(?:```|~~~)/;
const sentenceEnd = /[.!?…][)\]"'”’]*\s+|[。！？]/gu;

/** Never between the halves of a surrogate pair. */
const safeCut = (text: string, index: number): number => {
  const code = text.charCodeAt(index);
  return code >= 0xdc_00 && code <= 0xdf_ff ? index - 1 : index;
};

/** Cuts `text` from `start` to `end` behind spaces where there are any, into parts of at most `longestAtom`. */
const cutsByLength = (text: string, start: number, end: number): number[] => {
  const cuts: number[] = [];
  let from = start;
  while (end - from > longestAtom) {
    const space = text.slice(from, from + longestAtom).lastIndexOf(' ');
    const cut = space > longestAtom / 4 ? from + space + 1 : safeCut(text, from + longestAtom);
    cuts.push(cut);
    from = cut;
  }
  return [...cuts, end];
};

const cutsBySentence = (text: string, start: number, end: number): number[] => {
  if (end - start <= longestAtom) return [end];
  const cuts: number[] = [];
  let from = start;
  for (const match of text.slice(start, end).matchAll(sentenceEnd)) {
    const cut = start + match.index + match[0].length;
    cuts.push(...cutsByLength(text, from, cut));
    from = cut;
  }
  if (from < end) cuts.push(...cutsByLength(text, from, end));
  return cuts;
};

/** All of `text` but its blank lines, in order; Markdown headings outside of code fences are marked. */
export const splitIntoAtoms = (text: string): readonly Atom[] => {
  const atoms: Atom[] = [];
  let fenced = false;
  let paragraphEnded = true;
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline + 1;
    const head = text.slice(start, Math.min(end, start + 12));
    if (fenceLine.test(head)) fenced = !fenced;
    if (text.slice(start, end).trim() === '') {
      paragraphEnded = true;
    } else {
      let opens: Atom['opens'] =
        !fenced && headingLine.test(head) ? 'heading' : paragraphEnded ? 'paragraph' : 'nothing';
      let from = start;
      for (const cut of cutsBySentence(text, start, end)) {
        atoms.push({ start: from, end: cut, tokens: approximateTokens(text.slice(from, cut)), opens });
        from = cut;
        opens = 'nothing';
      }
      paragraphEnded = false;
    }
    start = end;
  }
  return atoms;
};
