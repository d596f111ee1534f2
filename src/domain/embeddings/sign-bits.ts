/**
 * Sign bits of vectors after a fixed random rotation: the share of differing bits of two vectors estimates their angle
 * (Charikar 2002, "Similarity estimation techniques from rounding algorithms"). The rotation flips signs, permutes and
 * applies a Walsh-Hadamard transform (Ailon and Chazelle 2009), so that it costs n log n and also spreads sparse vectors.
 *
 * Stored bits were made by it: neither seed nor steps may ever change.
 */
const seed = 0x7e_ad_1e_01;
const rounds = 2;
const fewestBits = 2_048;
/** More would leave the row for TOAST, and make every search read them from there. */
const mostBits = 8_192;

/** About two bits a dimension keep the recall of the first few hundred above 0.99, also of sparse vectors. */
const bitsFor = (dimensions: number): number => {
  const size = 2 ** Math.ceil(Math.log2(dimensions));
  return Math.max(size, Math.min(size * 2, mostBits), fewestBits);
};

interface Step {
  readonly order: Uint32Array;
  readonly signs: Float64Array;
}

/** Mulberry32: numbers from 0 to 1 that are the same everywhere. */
const randomFrom = (start: number): (() => number) => {
  let state = start;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
};

const drawSteps = (size: number): readonly Step[] => {
  const random = randomFrom(seed ^ size);
  return Array.from({ length: rounds }, () => {
    const order = Uint32Array.from({ length: size }, (_, index) => index);
    for (let index = size - 1; index > 0; index -= 1) {
      const other = Math.floor(random() * (index + 1));
      const kept = order[index] ?? 0;
      order[index] = order[other] ?? 0;
      order[other] = kept;
    }
    return { order, signs: Float64Array.from({ length: size }, () => (random() < 0.5 ? -1 : 1)) };
  });
};

const transform = (values: Float64Array): void => {
  const size = values.length;
  for (let half = 1; half < size; half *= 2) {
    for (let start = 0; start < size; start += half * 2) {
      for (let index = start; index < start + half; index += 1) {
        const a = values[index] ?? 0;
        const b = values[index + half] ?? 0;
        values[index] = a + b;
        values[index + half] = a - b;
      }
    }
  }
};

const stepsBySize = new Map<number, readonly Step[]>();

const stepsFor = (size: number): readonly Step[] => {
  const known = stepsBySize.get(size);
  if (known) return known;
  const drawn = drawSteps(size);
  stepsBySize.set(size, drawn);
  return drawn;
};

/**
 * The bits of a vector as Postgres reads `bit varying`: one character a bit, about two for each dimension and at least
 * 2,048.
 */
export const signBits = (vector: Float32Array): string => {
  const size = bitsFor(vector.length);
  let values = new Float64Array(size);
  values.set(vector);
  for (const { order, signs } of stepsFor(size)) {
    const moved = new Float64Array(size);
    for (let index = 0; index < size; index += 1) {
      moved[index] = (values[order[index] ?? 0] ?? 0) * (signs[index] ?? 1);
    }
    transform(moved);
    values = moved;
  }
  let bits = '';
  for (const value of values) bits += value < 0 ? '1' : '0';
  return bits;
};
