import type { AppError } from '../../lib/errors/app-error.ts';
import { toAppError } from '../../lib/errors/classify.ts';
import type { UpsertCounts } from '../knowledge/types.ts';
import { lengthOf, type ImportedDocument } from './imported-document.ts';
import type { ImportFault } from './refused-input.ts';

/** Writes documents by their source id, all or none of those given. */
export type DocumentWriter = (documents: readonly ImportedDocument[]) => Promise<UpsertCounts>;

interface Pending {
  readonly file: string;
  readonly line: number;
  readonly document: ImportedDocument;
}

/** A batch is one transaction: enough to make its few statements worth while, and done in a second or two. */
const maxDocuments = 2_000;
const maxCharacters = 4_194_304;
const refusals: ReadonlySet<string> = new Set(['VALIDATION_ERROR', 'PAYLOAD_TOO_LARGE', 'DATA_CONSISTENCY_ERROR']);

/**
 * Gathers documents and writes them in batches bounded by number and size. While one batch is written the next is gathered,
 * and no more than that: memory does not grow with the import.
 */
export class DocumentBatch {
  readonly #write: DocumentWriter;
  readonly #onFault: (fault: ImportFault) => void;
  #pending: Pending[] = [];
  #characters = 0;
  #counts: UpsertCounts = { inserted: 0, updated: 0, unchanged: 0 };
  #writing: Promise<void> = Promise.resolve();

  constructor(write: DocumentWriter, onFault: (fault: ImportFault) => void) {
    this.#write = write;
    this.#onFault = onFault;
  }

  /** Of what is written by now. */
  get counts(): UpsertCounts {
    return this.#counts;
  }

  /** Takes a document. Waits, when the batch is full, until the one before is written. @throws what writing that one threw. */
  async add(pending: Pending): Promise<void> {
    this.#pending.push(pending);
    this.#characters += lengthOf(pending.document);
    if (this.#pending.length >= maxDocuments || this.#characters >= maxCharacters) await this.#handOver();
  }

  /** Writes what has been gathered. A document that the workspace refuses becomes a fault; the others are written. */
  async flush(): Promise<void> {
    await this.#handOver();
    await this.#writing;
  }

  /** Waits until nothing is being written any more, whether that went well or not. */
  async settle(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  async #handOver(): Promise<void> {
    const batch = this.#pending;
    this.#pending = [];
    this.#characters = 0;
    await this.#writing;
    this.#writing = this.#writeBatch(batch);
    // Thrown where the next batch, or the end, waits for it.
    this.#writing.catch(() => undefined);
  }

  /** Halves what is refused until the refused documents stand alone. */
  async #writeBatch(batch: readonly Pending[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    const refusal = await this.#tryWrite(batch);
    if (refusal === undefined) return;
    if (batch.length === 1) {
      this.#onFault({ file: first.file, line: first.line, message: refusal.message });
      return;
    }
    const middle = Math.ceil(batch.length / 2);
    await this.#writeBatch(batch.slice(0, middle));
    await this.#writeBatch(batch.slice(middle));
  }

  async #tryWrite(batch: readonly Pending[]): Promise<AppError | undefined> {
    try {
      const added = await this.#write(batch.map(({ document }) => document));
      this.#counts = {
        inserted: this.#counts.inserted + added.inserted,
        updated: this.#counts.updated + added.updated,
        unchanged: this.#counts.unchanged + added.unchanged,
      };
      return undefined;
    } catch (error) {
      const known = toAppError(error);
      if (refusals.has(known.code)) return known;
      throw error;
    }
  }
}
