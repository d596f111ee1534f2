import { foldText } from '../../embeddings/fold-text.ts';
import { splitWords } from '../split-words.ts';

/** Folding can make a text many times as long. */
const longestKey = 1_000;
/** Elasticsearch takes no prefix of more than about a thousand bytes. */
const longestPrefix = 200;

/** The words of a text without accents, in lower case and single spaces. */
const foldedWords = (text: string): string => splitWords(text).map(foldText).join(' ');

/** What titles, tags and what is typed are compared by: their words, up to 1,000 characters. */
export const textKey = (text: string): string => foldedWords(text).slice(0, longestKey).toWellFormed();

/** As much of a key as titles are asked to begin with. */
export const prefixOfKey = (key: string): string => key.slice(0, longestPrefix).toWellFormed();

/** The signs of a text that are in no word (`++`, `%`), once each. */
export const signsOf = (text: string): readonly string[] => [...new Set(text.match(/[^\p{L}\p{M}\p{N}\s]/gu))];

const printable = /^[\x21-\x7e]+$/;
/** Signs between letters at which Elasticsearch's tokenizer does not cut (Unicode Annex 29). */
const joint = /[\p{L}\p{N}][.:_'’·,;][\p{L}\p{N}]/u;
/** Both cut between any two of these. */
const cutAlike = /^[\p{Script=Han}\p{Script=Hiragana}\p{P}]+$/u;
/** What a word has that may be of interest: few have, and a long text is searched for them in one go. */
const noted = () => /[a-z\d][.:_',;][a-z\d]|[^\x21-\x7e\s]/gi;
const space = /\s/;

const isSpaceAt = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at);
  return code === 32 || (code < 128 ? code >= 9 && code <= 13 : space.test(text.charAt(at)));
};

/** The words of a text that have something in them to be noted. */
function* notedWords(text: string): Generator<string> {
  const pattern = noted();
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) {
    let start = found.index;
    let end = pattern.lastIndex;
    while (start > 0 && !isSpaceAt(text, start - 1)) start -= 1;
    while (end < text.length && !isSpaceAt(text, end)) end += 1;
    yield text.slice(start, end);
    pattern.lastIndex = end;
  }
}

/**
 * The words of a text as queries name them, where Elasticsearch sees others: `node.js` is one word to it, and `café` has
 * its accent.
 */
export const partsOf = (text: string): readonly string[] => {
  const parts = new Set<string>();
  for (const word of notedWords(text)) {
    if (joint.test(word) || !(printable.test(word) || cutAlike.test(word))) parts.add(foldedWords(word));
  }
  return [...parts];
};
