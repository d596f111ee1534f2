import { setImmediate as breathe } from 'node:timers/promises';
import { AppError } from '../../lib/errors/app-error.ts';
import type { Embedder } from './embedder.ts';
import { foldText } from './fold-text.ts';
import { wordFeatures, type WordFeatures } from './word-features.ts';

const dimensions = 512;
const wordsRemembered = 20_000;
const textsWithoutBreath = 64;
const words = /[\p{L}\p{N}]+/gu;
const longestWord = 40;
/** Scripts written without spaces: a run of them is cut into single characters and pairs. */
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

const unitsOf = (run: string): readonly string[] => {
  if (run.length === 1 || !unspaced.test(run)) return [run.slice(0, longestWord)];
  const characters = Array.from(run);
  return characters.flatMap((character, index) => [character, `${character}${characters[index + 1] ?? ''}`]);
};

const normalised = (sums: Float64Array): Float32Array => {
  let squares = 0;
  for (const sum of sums) squares += sum * sum;
  const vector = new Float32Array(sums.length);
  if (squares === 0) return vector;
  const norm = Math.sqrt(squares);
  for (let index = 0; index < sums.length; index += 1) vector[index] = (sums[index] ?? 0) / norm;
  return vector;
};

/**
 * Embeds by feature hashing (Weinberger et al. 2009): words and their character n-grams are hashed to signed positions
 * and summed, a repeated word counting by its logarithm. Deterministic, normalised, no network and no model file; it
 * finds shared and similar words, not meaning.
 */
export class LocalEmbedder implements Embedder {
  readonly model = 'local-hash-1';
  readonly dimensions = dimensions;
  readonly maxTextsPerCall = 256;
  readonly #known = new Map<string, WordFeatures>();

  async embed(
    texts: readonly string[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly Float32Array[]> {
    const vectors: Float32Array[] = [];
    for (const text of texts) {
      if (signal?.aborted) throw new AppError('INTERRUPTED', 'embedding was interrupted', {}, { cause: signal.reason });
      vectors.push(this.#embedOne(text));
      if (vectors.length % textsWithoutBreath === 0) await breathe();
    }
    return vectors;
  }

  close(): Promise<void> {
    this.#known.clear();
    return Promise.resolve();
  }

  #embedOne(text: string): Float32Array {
    const counts = new Map<string, number>();
    for (const run of foldText(text).match(words) ?? []) {
      for (const word of unitsOf(run)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    const sums = new Float64Array(dimensions);
    for (const [word, count] of counts) {
      const features = this.#featuresOf(word);
      const weight = 1 + Math.log(count);
      for (let index = 0; index < features.length; index += 2) {
        const position = features[index] ?? 0;
        sums[position] = (sums[position] ?? 0) + weight * (features[index + 1] ?? 0);
      }
    }
    return normalised(sums);
  }

  #featuresOf(word: string): WordFeatures {
    const known = this.#known.get(word);
    if (known) return known;
    if (this.#known.size >= wordsRemembered) this.#known.clear();
    const features = wordFeatures(word, dimensions);
    this.#known.set(word, features);
    return features;
  }
}
