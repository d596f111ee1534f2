import { AppError, validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { ensureAuthors } from '../users/ensure-authors.ts';
import type { Person } from '../users/types.ts';
import { upsertKnowledgeInput, type UpsertDocument, type UpsertKnowledgeInput } from './input.ts';
import { ensureTags } from './tags.ts';
import type { UpsertCounts } from './types.ts';

const maxDocuments = 500;
const maxCharacters = 4_194_304;
const maxRounds = 5;

/** @throws AppError VALIDATION_ERROR naming every fault with the index of its document. */
export const parseDocuments = (documents: readonly UpsertDocument[]): readonly UpsertKnowledgeInput[] => {
  const faults: Fault[] = [];
  const parsed: UpsertKnowledgeInput[] = [];
  for (const [index, document] of documents.entries()) {
    const result = safeParse(upsertKnowledgeInput, document);
    if (result.success) parsed.push(result.data);
    else faults.push(...faultsOf(result.error, ['documents', index]).map((fault) => ({ ...fault, index })));
  }
  if (faults.length > 0) throw validationError('the documents', faults);
  return parsed;
};

/**
 * Splits documents, sorted by source id so that two imports wait for each other in one order, into batches bounded by
 * number and size. A source id given twice is written twice, the later over the earlier.
 */
const batchesOf = (documents: readonly UpsertKnowledgeInput[]): readonly UpsertKnowledgeInput[][] => {
  const sorted = documents.toSorted((a, b) => (a.sourceId < b.sourceId ? -1 : a.sourceId > b.sourceId ? 1 : 0));
  const batches: UpsertKnowledgeInput[][] = [];
  let batch: UpsertKnowledgeInput[] = [];
  let characters = 0;
  for (const document of sorted) {
    const full = batch.length >= maxDocuments || characters + document.content.length > maxCharacters;
    if (batch.length > 0 && (full || batch.at(-1)?.sourceId === document.sourceId)) {
      batches.push(batch);
      batch = [];
      characters = 0;
    }
    batch.push(document);
    characters += document.content.length;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
};

const keyOf = ({ name, email }: Person): string => JSON.stringify(email === undefined ? [name] : [name, email]);

const authorIds = async (
  tx: Queryable,
  workspaceId: string,
  documents: readonly UpsertKnowledgeInput[],
): Promise<ReadonlyMap<string, string>> => {
  const people = new Map<string, Person>();
  for (const { author } of documents) if (author) people.set(keyOf(author), author);
  const ids = await ensureAuthors(tx, workspaceId, [...people.values()]);
  return new Map([...people.keys()].map((key, index) => [key, ids[index] ?? '']));
};

const toJson = (batch: readonly UpsertKnowledgeInput[], authors: ReadonlyMap<string, string>): string =>
  JSON.stringify(
    batch.map((document) => ({
      source_id: document.sourceId,
      title: document.title,
      content: document.content,
      content_type: document.contentType,
      excerpt: document.excerpt,
      status: document.status,
      author_id: document.author && authors.get(keyOf(document.author)),
      collection_id: document.collectionId,
      metadata: document.metadata,
      tags: document.tags,
    })),
  );

const writeBatch = async (tx: Queryable, workspaceId: string, size: number, json: string): Promise<UpsertCounts> => {
  const statement = loadSql(new URL('./upsert-batch.sql', import.meta.url));
  let written = { inserted: 0, updated: 0 };
  // Another import of the same documents may get in between: the next round sees what it wrote.
  for (let round = 0; round < maxRounds; round += 1) {
    const { rows } = await tx.query<{ inserted: number; updated: number; unchanged: number }>(statement, [
      workspaceId,
      json,
    ]);
    const { inserted = 0, updated = 0, unchanged = 0 } = rows[0] ?? {};
    written = { inserted: written.inserted + inserted, updated: written.updated + updated };
    if (inserted + updated + unchanged === size) {
      return { ...written, unchanged: size - written.inserted - written.updated };
    }
  }
  throw new AppError(
    'DATA_CONSISTENCY_ERROR',
    'the documents are being changed by somebody else',
    {},
    { retryable: true },
  );
};

/** Writes parsed documents by their source ids in the transaction; see KnowledgeService.upsertMany. */
export const upsertDocuments = async (
  tx: Queryable,
  workspaceId: string,
  documents: readonly UpsertKnowledgeInput[],
): Promise<UpsertCounts> => {
  const authors = await authorIds(tx, workspaceId, documents);
  await ensureTags(tx, workspaceId, [...new Set(documents.flatMap(({ tags }) => tags))]);
  let sum: UpsertCounts = { inserted: 0, updated: 0, unchanged: 0 };
  for (const batch of batchesOf(documents)) {
    const counts = await writeBatch(tx, workspaceId, batch.length, toJson(batch, authors));
    sum = {
      inserted: sum.inserted + counts.inserted,
      updated: sum.updated + counts.updated,
      unchanged: sum.unchanged + counts.unchanged,
    };
  }
  return sum;
};
