/** What a word adds to a vector: pairs of a position and a signed weight, one after the other. */
export type WordFeatures = Float64Array;

const stopWords = new Set(
  `a about after all also an and any are as at be because been but by can could do does for from had has have he her his how i
  if in into is it its may me more most my no not of on one only or other our out over she should so some such than that the
  their them then there these they this those to up us use used using was we were what when where which while who will with
  would you your`.split(/\s+/),
);
const shortestGram = 3;
const longestGram = 4;
const gramsWeight = 1;

/** FNV-1a over UTF-16 units, from `start` to `end`, ended by Murmur's mixer so that every bit depends on every unit. */
const hashOf = (text: string, start: number, end: number, kind: number): number => {
  let hash = 0x81_1c_9d_c5 ^ kind;
  for (let index = start; index < end; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01_00_01_93);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85_eb_ca_6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

/**
 * The hashed features of one folded word: itself and its character n-grams of 3 and 4 with its ends marked, so that
 * inflected and misspelt words lie near each other. The words of a sentence that carry no meaning weigh little.
 */
export const wordFeatures = (word: string, dimensions: number): WordFeatures => {
  const importance = stopWords.has(word) ? 0.08 : word.length === 1 ? 0.4 : 1;
  const marked = `^${word}$`;
  const grams: number[] = [];
  if (importance === 1) {
    for (let size = shortestGram; size <= longestGram; size += 1) {
      for (let start = 0; start + size <= marked.length; start += 1)
        grams.push(hashOf(marked, start, start + size, size));
    }
  }
  const features = new Float64Array(2 + grams.length * 2);
  const add = (place: number, hash: number, weight: number): void => {
    features[place] = (hash >>> 1) % dimensions;
    features[place + 1] = hash & 1 ? weight : -weight;
  };
  add(0, hashOf(word, 0, word.length, 0), importance);
  const weight = gramsWeight / Math.sqrt(grams.length || 1);
  for (const [index, hash] of grams.entries()) add(2 + index * 2, hash, weight);
  return features;
};
