import { codeOf } from '../../lib/errors/classify.ts';
import { DocumentBatch, type DocumentWriter } from './document-batch.ts';
import { findFiles, resolveImportRoot, whyUnreadable, type Found, type ImportRoot } from './find-files.ts';
import { importLimits } from './import-limits.ts';
import type { ImportProgress, ImportSummary } from './import-summary.ts';
import { RefusedInput, type ImportFault } from './refused-input.ts';
import { formatOf, importedExtensions } from './source-formats.ts';
import { KeptRecords } from './kept-records.ts';
import type { ReadRecord, SourceFile, SourceFormat } from './source-file.ts';

export interface ImportOptions {
  readonly write: DocumentWriter;
  /** Put before the ids of documents that name none, so that two folders with files of the same name keep apart. */
  readonly idPrefix?: string | undefined;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** Ends the import between two documents, with its reason; what was written stays, and importing again goes on. */
  readonly signal?: AbortSignal | undefined;
}

interface CheckedFile {
  readonly documents: number;
  readonly faults: readonly ImportFault[];
  /** Where each id was met that could be met again. */
  readonly ids: ReadonlyMap<string, string>;
  /** All of it, of a file so small that it need not be read twice. */
  readonly kept: readonly ReadRecord[] | undefined;
}

/** The records of a file, with what ends its reading as a last fault. */
async function* recordsOf(
  file: SourceFile,
  format: SourceFormat,
  signal: AbortSignal | undefined,
): AsyncGenerator<ReadRecord> {
  try {
    yield* format.read(file, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof RefusedInput) yield { line: error.line, fault: error.message };
    else if (codeOf(error)?.startsWith('E')) yield { line: undefined, fault: whyUnreadable(error) };
    else throw error;
  }
}

const faultAt = (file: SourceFile, line: number | undefined, message: string): ImportFault => ({
  file: file.relativePath,
  ...(line === undefined ? {} : { line }),
  message,
});

class ImportRun {
  readonly #options: ImportOptions;
  readonly #batch: DocumentBatch;
  readonly #faults: ImportFault[] = [];
  readonly #refusedFiles = new Set<string>();
  readonly #idsMet = new Map<string, string>();
  readonly #files = { imported: 0, empty: 0, unknown: 0, skipped: 0 };
  #faultsTotal = 0;
  #filesFound = 0;
  #filesDone = 0;

  constructor(options: ImportOptions) {
    this.#options = options;
    this.#batch = new DocumentBatch(options.write, (fault) => this.#refuseLate(fault));
  }

  async run(root: ImportRoot): Promise<ImportSummary> {
    for await (const found of findFiles(root)) {
      if (found.kind === 'file' && formatOf(found.relativePath)) this.#filesFound += 1;
    }
    try {
      for await (const found of findFiles(root)) {
        this.#options.signal?.throwIfAborted();
        await this.#take(found, root);
        this.#report();
      }
      this.#options.signal?.throwIfAborted();
      await this.#batch.flush();
    } finally {
      await this.#batch.settle();
    }
    this.#report();
    return {
      files: { ...this.#files, refused: this.#refusedFiles.size },
      documents: this.#batch.counts,
      faultsTotal: this.#faultsTotal,
      faults: this.#faults,
    };
  }

  async #take(found: Found, root: ImportRoot): Promise<void> {
    if (found.kind === 'skipped') {
      this.#files.skipped += 1;
      return;
    }
    if (found.kind === 'unreadable') {
      this.#refuse({ file: found.relativePath, message: found.message });
      return;
    }
    const format = formatOf(found.relativePath);
    const file = { ...found, defaultId: `${this.#options.idPrefix ?? ''}${found.relativePath}` };
    if (format !== undefined) {
      await this.#takeFile(file, format);
      this.#filesDone += 1;
    } else if (root.kind === 'folder') {
      this.#files.unknown += 1;
    } else {
      const known = importedExtensions.join(', ');
      this.#refuse(faultAt(file, undefined, `is of a type that is not imported; known are ${known}`));
    }
  }

  async #takeFile(file: SourceFile, format: SourceFormat): Promise<void> {
    const read = (): AsyncIterable<ReadRecord> => recordsOf(file, format, this.#options.signal);
    const checked = await this.#check(read(), file, format);
    if (checked.faults.length > 0) {
      for (const fault of checked.faults) this.#refuse(fault);
    } else if (checked.documents === 0) {
      this.#files.empty += 1;
    } else {
      for (const [id, place] of checked.ids) this.#idsMet.set(id, place);
      this.#files.imported += 1;
      await this.#write(checked.kept ?? read(), file);
    }
  }

  /** Reads a file to its end, or to its tenth fault, and writes nothing. */
  async #check(records: AsyncIterable<ReadRecord>, file: SourceFile, format: SourceFormat): Promise<CheckedFile> {
    const faults: ImportFault[] = [];
    const ids = new Map<string, string>();
    const kept = new KeptRecords();
    let documents = 0;
    for await (const record of records) {
      this.#options.signal?.throwIfAborted();
      kept.add(record);
      if ('fault' in record) {
        faults.push(faultAt(file, record.line, record.fault));
      } else {
        documents += 1;
        const id = record.document.sourceId;
        const met = ids.get(id) ?? this.#idsMet.get(id);
        if (met !== undefined) {
          faults.push(faultAt(file, record.line, `has the id ${JSON.stringify(id)} of ${met}`));
        } else if (record.namesItsId || format.documents === 'one') {
          ids.set(id, format.documents === 'one' ? file.relativePath : `${file.relativePath}:${record.line}`);
        }
      }
      if (faults.length >= importLimits.maxFaultsPerFile) break;
    }
    return { documents, faults, ids, kept: kept.all };
  }

  async #write(records: AsyncIterable<ReadRecord> | readonly ReadRecord[], file: SourceFile): Promise<void> {
    for await (const record of records) {
      this.#options.signal?.throwIfAborted();
      if ('fault' in record) {
        this.#refuseLate(faultAt(file, record.line, `${record.fault} (the file changed while it was imported)`));
      } else {
        await this.#batch.add({ file: file.relativePath, line: record.line, document: record.document });
        this.#report();
      }
    }
  }

  #refuse(fault: ImportFault): void {
    this.#faultsTotal += 1;
    this.#refusedFiles.add(fault.file);
    if (this.#faults.length < importLimits.maxFaults) this.#faults.push(fault);
  }

  /** Refuses what was counted as imported, because the file changed or the workspace did not take a document. */
  #refuseLate(fault: ImportFault): void {
    if (!this.#refusedFiles.has(fault.file)) this.#files.imported -= 1;
    this.#refuse(fault);
  }

  #report(): void {
    const { inserted, updated, unchanged } = this.#batch.counts;
    this.#options.onProgress?.({
      filesFound: this.#filesFound,
      filesDone: this.#filesDone,
      documents: inserted + updated + unchanged,
      refused: this.#refusedFiles.size,
    });
  }
}

/**
 * Imports a file or a folder: Markdown, text, JSONL, CSV and indexes of Debian packages. Memory holds two batches of
 * documents and the ids that records name, whatever the size. A file with a fault is refused as a whole and named in the
 * summary; the others are imported. Of an import that is run again only what changed is written.
 * @throws AppError VALIDATION_ERROR when the path cannot be imported; the signal's reason; errors of the database.
 */
export const importPath = async (path: string, options: ImportOptions): Promise<ImportSummary> =>
  new ImportRun(options).run(await resolveImportRoot(path));
