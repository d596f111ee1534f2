/** The vectors of the texts searched for last; the least recently used goes first. */
export class QueryVectorCache {
  readonly #limit: number;
  readonly #vectors = new Map<string, Float32Array>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(text: string): Float32Array | undefined {
    const vector = this.#vectors.get(text);
    if (vector) {
      this.#vectors.delete(text);
      this.#vectors.set(text, vector);
    }
    return vector;
  }

  set(text: string, vector: Float32Array): void {
    this.#vectors.set(text, vector);
    const oldest = this.#vectors.keys().next();
    if (this.#vectors.size > this.#limit && !oldest.done) this.#vectors.delete(oldest.value);
  }
}
