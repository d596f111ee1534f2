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

/** Most words, told from others quickly. */
const plain = /^[a-z\d]+[.,;:]?$/i;
const printable = /^[\x21-\x7e]+$/;
/** Signs between letters at which Elasticsearch's tokenizer does not cut (Unicode Annex 29). */
const joint = /[\p{L}\p{N}][.:_'’·,;][\p{L}\p{N}]/u;
/** Both cut between any two of these. */
const cutAlike = /^[\p{Script=Han}\p{Script=Hiragana}\p{P}]+$/u;

/**
 * The words of a text as queries name them, where Elasticsearch sees others: `node.js` is one word to it, and `café` has
 * its accent.
 */
export const partsOf = (text: string): readonly string[] => {
  const parts = new Set<string>();
  for (const [found] of text.matchAll(/\S+/g)) {
    if (plain.test(found)) continue;
    if (joint.test(found) || !(printable.test(found) || cutAlike.test(found))) parts.add(foldedWords(found));
  }
  return [...parts];
};
