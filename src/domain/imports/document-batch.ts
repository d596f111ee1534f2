import type { AppError } from '../../lib/errors/app-error.ts';
import { toAppError } from '../../lib/errors/classify.ts';
import type { UpsertCounts } from '../knowledge/types.ts';
import type { ImportedDocument } from './imported-document.ts';
import type { ImportFault } from './refused-input.ts';

/** Writes documents by their source id, all or none of those given. */
export type DocumentWriter = (documents: readonly ImportedDocument[]) => Promise<UpsertCounts>;

interface Pending {
  readonly file: string;
  readonly line: number;
  readonly document: ImportedDocument;
}

const maxDocuments = 100;
const maxCharacters = 2_097_152;
const refusals: ReadonlySet<string> = new Set(['VALIDATION_ERROR', 'PAYLOAD_TOO_LARGE', 'DATA_CONSISTENCY_ERROR']);

/** Gathers documents and writes them in batches bounded by number and size, so that memory does not grow with the import. */
export class DocumentBatch {
  readonly #write: DocumentWriter;
  readonly #onFault: (fault: ImportFault) => void;
  #pending: Pending[] = [];
  #characters = 0;
  #counts: UpsertCounts = { inserted: 0, updated: 0, unchanged: 0 };

  constructor(write: DocumentWriter, onFault: (fault: ImportFault) => void) {
    this.#write = write;
    this.#onFault = onFault;
  }

  get counts(): UpsertCounts {
    return this.#counts;
  }

  /** Takes a document; writes the batch when it is full. */
  async add(pending: Pending): Promise<void> {
    this.#pending.push(pending);
    this.#characters += pending.document.content.length;
    if (this.#pending.length >= maxDocuments || this.#characters >= maxCharacters) await this.flush();
  }

  /** Writes what has been gathered. A document that the workspace refuses becomes a fault; the others are written. */
  async flush(): Promise<void> {
    const batch = this.#pending;
    this.#pending = [];
    this.#characters = 0;
    if (batch.length === 0) return;
    const refusal = await this.#tryWrite(batch);
    if (refusal === undefined) return;
    for (const one of batch) {
      const reason = batch.length === 1 ? refusal : await this.#tryWrite([one]);
      if (reason !== undefined) this.#onFault({ file: one.file, line: one.line, message: reason.message });
    }
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
