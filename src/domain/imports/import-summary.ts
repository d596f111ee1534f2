import type { ImportFault } from './refused-input.ts';

/** What an import did. */
export interface ImportSummary {
  readonly files: {
    readonly imported: number;
    readonly refused: number;
    /** Read, and nothing in them. */
    readonly empty: number;
    /** Of a type that is not imported. */
    readonly unknown: number;
    /** Hidden files and folders, links, and what is neither a file nor a folder. */
    readonly skipped: number;
  };
  readonly documents: {
    readonly inserted: number;
    readonly updated: number;
    readonly unchanged: number;
  };
  /** How many things were refused; `faults` names the first thousand. */
  readonly faultsTotal: number;
  readonly faults: readonly ImportFault[];
}

/** How far an import is. */
export interface ImportProgress {
  readonly filesFound: number;
  readonly filesDone: number;
  readonly documents: number;
  readonly refused: number;
}
