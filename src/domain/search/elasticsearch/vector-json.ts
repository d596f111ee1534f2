/** A piece of a text: how it begins, and its vector as Postgres writes real[]: `{0.5,-1e-05}`. */
export interface Chunk {
  readonly opening: string;
  readonly vector: string;
}

/** A vector of Postgres as JSON; cosine knows no direction of all zeroes, which is left out. */
const vectorJson = (vector: string): string | undefined =>
  /[1-9]/.test(vector) ? `[${vector.slice(1, -1)}]` : undefined;

/** Of one text with spaces between them; as JSON Postgres and the reader would look at each of their thousands of characters again. */
export const vectorsIn = (text: string | null): readonly string[] => text?.split(' ') ?? [];

/** Pieces of a text with their vectors as JSON: vectors are passed on as they are, without reading their numbers. */
export const chunksJson = (chunks: readonly Chunk[]): string =>
  `[${chunks
    .flatMap(({ opening, vector }) => {
      const json = vectorJson(vector);
      return json === undefined ? [] : [`{"opening":${JSON.stringify(opening)},"vector":${json}}`];
    })
    .join()}]`;
