import { readLsn } from './lsn.ts';

const isSelect = /^\s*select\b/i;
/** A call such as `treadle.enqueue(…)`, which may write. */
const callsFunctionOfSchema = /\w"?\."?\w+"?\s*\(/;

/**
 * Up to where in the primary's log this process has written, asked of the server only when somebody wants to know. Every
 * statement counts as a write, except a SELECT that calls no function of a schema.
 */
export class WriteMark {
  readonly #askPosition: () => Promise<string>;
  #writes = 0;
  #known = { writes: 0, lsn: 0n };
  #asking = false;

  /** `askPosition` answers where the primary's log ends. */
  constructor(askPosition: () => Promise<string>) {
    this.#askPosition = askPosition;
  }

  /** A statement has ended, well or not: a connection lost at COMMIT may have committed. True for a write. */
  note(text: string): boolean {
    const writes = !isSelect.test(text) || callsFunctionOfSchema.test(text);
    if (writes) this.#writes += 1;
    return writes;
  }

  /** What a replica must have replayed to show all that was written here; undefined: not known yet, and asked for now. */
  position(): bigint | undefined {
    if (this.#known.writes === this.#writes) return this.#known.lsn;
    if (!this.#asking) void this.#ask();
    return undefined;
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    const writes = this.#writes;
    try {
      const lsn = readLsn(await this.#askPosition());
      if (lsn !== undefined) this.#known = { writes, lsn };
    } catch {
      // The next who wants to know asks again.
    } finally {
      this.#asking = false;
    }
  }
}
