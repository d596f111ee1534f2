import type { ImportedDocument } from './imported-document.ts';

/** A file of an import. */
export interface SourceFile {
  readonly absolutePath: string;
  /** Relative to the folder given, with `/` on every system; the file's name when a file was given. */
  readonly relativePath: string;
  /** The id of a document that names none: the relative path, after the import's prefix. */
  readonly defaultId: string;
}

/** One record of a file: a document, or what is wrong with it. */
export type ReadRecord =
  | { readonly line: number; readonly document: ImportedDocument; readonly namesItsId: boolean }
  | { readonly line: number | undefined; readonly fault: string };

export interface SourceFormat {
  readonly extensions: readonly string[];
  /** Names beside those with these endings. */
  readonly fileNames?: RegExp;
  /** `one`: the file is one document. `many`: it is checked to its end before any of it is written. */
  readonly documents: 'one' | 'many';
  /**
   * Reads the file's records in bounded memory; an empty file has none.
   * @throws RefusedInput when it cannot be read on.
   */
  read(file: SourceFile, signal: AbortSignal | undefined): AsyncIterable<ReadRecord>;
}
