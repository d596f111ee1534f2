import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { CopyingQueryable } from '../../lib/postgres/copy-in.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { authorIds } from './author-ids.ts';
import { upsertKnowledgeInput, type UpsertDocument, type UpsertKnowledgeInput } from './input.ts';
import { mergeDocuments, type MergedDocument } from './merge-documents.ts';
import { ensureTags } from './tags.ts';
import type { UpsertCounts } from './types.ts';

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
 * Documents so that each source id is met once in a round, in the order given. The first round has every id, so that later
 * ones wait for nobody.
 */
const roundsOf = (documents: readonly MergedDocument[]): readonly (readonly MergedDocument[])[] => {
  const rounds: MergedDocument[][] = [];
  const met = new Map<string, number>();
  for (const document of documents) {
    const round = met.get(document.sourceId) ?? 0;
    met.set(document.sourceId, round + 1);
    const others = rounds[round];
    if (others) others.push(document);
    else rounds.push([document]);
  }
  return rounds;
};

/**
 * Writes parsed documents by their source ids in the transaction; see KnowledgeService.upsertMany. Tags are made before
 * authors, as for a single document: writers that make the same ones wait for each other in one order.
 */
export const upsertDocuments = async (
  tx: Queryable | CopyingQueryable,
  workspaceId: string,
  documents: readonly UpsertKnowledgeInput[],
): Promise<UpsertCounts> => {
  await ensureTags(tx, workspaceId, [...new Set(documents.flatMap(({ tags }) => tags))]);
  const authors = await authorIds(
    tx,
    workspaceId,
    documents.map(({ author }) => author),
  );
  const merged = documents.map((document, index) => ({ ...document, authorId: authors[index] }));
  let sum: UpsertCounts = { inserted: 0, updated: 0, unchanged: 0 };
  for (const round of roundsOf(merged)) {
    const counts = await mergeDocuments(tx, workspaceId, round);
    sum = {
      inserted: sum.inserted + counts.inserted,
      updated: sum.updated + counts.updated,
      unchanged: sum.unchanged + counts.unchanged,
    };
  }
  return sum;
};
