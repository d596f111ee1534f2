import { lengthOf } from './imported-document.ts';
import type { ReadRecord } from './source-file.ts';

const maxRecords = 1_000;
const maxCharacters = 1_048_576;

/** Keeps the records of a file until there are too many: a small file need not be read twice. */
export class KeptRecords {
  #records: ReadRecord[] | undefined = [];
  #characters = 0;

  add(record: ReadRecord): void {
    if (this.#records === undefined) return;
    this.#records.push(record);
    if ('document' in record) this.#characters += lengthOf(record.document);
    const tooMany = this.#records.length > maxRecords || this.#characters > maxCharacters;
    // A document that is large is the whole of its file, or was in memory anyway.
    if (tooMany && this.#records.length > 1) this.#records = undefined;
  }

  /** Undefined when there were too many. */
  get all(): readonly ReadRecord[] | undefined {
    return this.#records;
  }
}
