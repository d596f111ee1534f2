import { knowledgeLimits } from '../knowledge/input.ts';

/** What an import takes beside the limits of a document. Beyond these a file is refused, with the limit in the message. */
export const importLimits = {
  /** A file that is one document: its content, and front matter before it. */
  maxFileBytes: knowledgeLimits.contentBytes + 65_536,
  /** One line of JSONL or one record of CSV: content with its characters escaped, and other fields beside it. */
  maxRecordBytes: 2 * knowledgeLimits.contentBytes,
  /** Faults named of one file; reading stops there. */
  maxFaultsPerFile: 10,
  /** Faults named of one import; the rest are counted. */
  maxFaults: 1_000,
} as const;
