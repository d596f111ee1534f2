import { createHash } from 'node:crypto';
import { splitIntoAtoms, type Atom } from './split-into-atoms.ts';

/** What of a document is embedded. */
export interface ChunkedText {
  readonly title: string;
  readonly excerpt: string;
  readonly content: string;
}

export interface Chunk {
  readonly index: number;
  /** Where the chunk lies in the content, in characters (code points, as Postgres counts); the end is exclusive. */
  readonly start: number;
  readonly end: number;
  /** What is embedded: the chunk, the first one with title and excerpt before it. */
  readonly text: string;
}

const fewestTokens = 200;
const goodTokens = 300;
const mostTokens = 480;
const overlapTokens = 60;

/** The index behind the last atom of the chunk that begins with `first`. */
const endOfChunk = (atoms: readonly Atom[], first: number): number => {
  let tokens = 0;
  let paragraph: number | undefined;
  for (let index = first; index < atoms.length; index += 1) {
    const atom = atoms[index];
    if (!atom) break;
    if (index > first) {
      if (atom.opens === 'heading' && tokens >= fewestTokens) return index;
      if (atom.opens !== 'nothing' && tokens >= goodTokens) paragraph = index;
      if (tokens + atom.tokens > mostTokens) return paragraph ?? index;
    }
    tokens += atom.tokens;
  }
  return atoms.length;
};

/** Where the next chunk begins: a little before `end`, unless a heading opens there. */
const startOfNext = (atoms: readonly Atom[], first: number, end: number): number => {
  if (atoms[end]?.opens === 'heading') return end;
  let start = end;
  let tokens = 0;
  while (start - 1 > first) {
    const atom = atoms[start - 1];
    if (!atom || tokens + atom.tokens > overlapTokens) break;
    tokens += atom.tokens;
    start -= 1;
    if (atom.opens === 'heading') break;
  }
  return start;
};

const rangesOf = (text: string): { start: number; end: number }[] => {
  const atoms = splitIntoAtoms(text);
  const ranges: { start: number; end: number }[] = [];
  let first = 0;
  while (first < atoms.length) {
    const end = endOfChunk(atoms, first);
    ranges.push({ start: atoms[first]?.start ?? 0, end: atoms[end - 1]?.end ?? text.length });
    if (end >= atoms.length) break;
    first = startOfNext(atoms, first, end);
  }
  return ranges;
};

/** Turns growing UTF-16 indexes of `text` into numbers of characters. */
const characterCounter = (text: string): ((index: number) => number) => {
  if (!/[\ud800-\udbff]/.test(text)) return (index) => index;
  const pairsBefore = new Uint32Array(text.length + 1);
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    pairsBefore[index + 1] = (pairsBefore[index] ?? 0) + (code >= 0xdc_00 && code <= 0xdf_ff ? 1 : 0);
  }
  return (index) => index - (pairsBefore[index] ?? 0);
};

/**
 * Cuts a document into chunks of about 300 to 480 tokens that overlap a little, at headings, paragraphs, lines or
 * sentences. A document always has at least one chunk, for its title. Pure: the same text gives the same chunks.
 */
export const chunkDocument = ({ title, excerpt, content }: ChunkedText): readonly Chunk[] => {
  const preface = excerpt === '' || content.includes(excerpt) ? title : `${title}\n\n${excerpt}`;
  const ranges = rangesOf(content);
  if (ranges.length === 0) return [{ index: 0, start: 0, end: 0, text: preface }];
  const characters = characterCounter(content);
  return ranges.map((range, index) => {
    const text = content.slice(range.start, range.end).trim();
    return {
      index,
      start: characters(range.start),
      end: characters(range.end),
      text: index === 0 ? `${preface}\n\n${text}` : text,
    };
  });
};

/** SHA-256 over the model, its dimensions and the text: what has this hash is embedded already. */
export const contentHash = (model: string, dimensions: number, text: string): Buffer =>
  createHash('sha256').update(`${model}\0${dimensions}\0`).update(text).digest();
