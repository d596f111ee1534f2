/** Collects the values of a statement while its text is written: `add(x)` keeps x and answers its placeholder. */
export class SqlValues {
  readonly #values: unknown[] = [];

  add(value: unknown): string {
    this.#values.push(value);
    return `$${this.#values.length}`;
  }

  get list(): unknown[] {
    return [...this.#values];
  }
}

/** For LIKE with the backslash as escape: the text itself, whatever signs are in it. */
export const escapeLike = (text: string): string => text.replaceAll(/[\\%_]/g, String.raw`\$&`);
