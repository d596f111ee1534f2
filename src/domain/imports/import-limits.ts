/** What an import takes. Beyond these a record is refused, with the limit in the message, rather than cut. */
export const importLimits = {
  /** One document's content, in UTF-8. A longer text belongs in several documents. */
  maxContentBytes: 1_048_576,
  /** One line of JSONL or one record of CSV: content with every character escaped, and other fields beside it. */
  maxRecordBytes: 8_388_608,
  maxTitleLength: 500,
  maxExcerptLength: 2_000,
  maxIdLength: 500,
  maxTags: 100,
  maxTagLength: 100,
  maxAuthorLength: 200,
  maxMetadataDepth: 32,
  /** All of a record's unknown fields together, as JSON. */
  maxMetadataBytes: 196_608,
  /** Faults named of one file; reading stops there. */
  maxFaultsPerFile: 10,
  /** Faults named of one import; the rest are counted. */
  maxFaults: 1_000,
} as const;
