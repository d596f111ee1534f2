import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { foldText } from '../../embeddings/fold-text.ts';
import type { KnowledgeStatus } from '../../knowledge/types.ts';
import { highlight, opening } from '../highlight.ts';
import { splitWords } from '../split-words.ts';
import type { SearchHit } from '../types.ts';

/** A document of the page, in its place. */
export interface PlacedDocument {
  readonly id: string;
  readonly score: number;
  /** Where its nearest chunk lies, when a vector found it. */
  readonly chunk?: { readonly start: number; readonly end: number } | undefined;
}

interface Row {
  readonly id: string;
  readonly title: string;
  readonly excerpt: string;
  readonly content: string;
  readonly chunk: string | null;
  readonly status: KnowledgeStatus;
  readonly tags: readonly string[];
  readonly author_id: string | null;
  readonly author_name: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** How much of a content is looked through for words to show. */
const contentShown = 100_000;
const wordsCompared = 5_000;

const readRows = async (
  db: Queryable,
  workspaceId: string,
  documents: readonly PlacedDocument[],
): Promise<ReadonlyMap<string, Row>> => {
  const { rows } = await db.query<Row>(
    `SELECT k.id, k.title, k.excerpt, left(k.content, ${contentShown}) AS content,
       CASE WHEN asked.stop > asked.start THEN substr(k.content, asked.start + 1, least(asked.stop - asked.start, 400)) END AS chunk,
       k.status, s.tags, k.author_id, u.name AS author_name, k.created_at, k.updated_at
     FROM unnest($2::uuid[], $3::integer[], $4::integer[]) AS asked (id, start, stop)
     JOIN treadle.knowledge AS k ON k.workspace_id = $1 AND k.id = asked.id
     JOIN treadle.search_documents AS s ON s.document_id = k.id
     LEFT JOIN treadle.users AS u ON u.id = k.author_id`,
    [
      workspaceId,
      documents.map((document) => document.id),
      documents.map((document) => document.chunk?.start ?? 0),
      documents.map((document) => document.chunk?.end ?? 0),
    ],
  );
  return new Map(rows.map((row) => [row.id, row]));
};

/** Words that could have one of the stems: the stemmer changes ends, never the first letters. */
const mayHaveStem = (word: string, beginnings: readonly string[]): boolean =>
  beginnings.some((beginning) => word.startsWith(beginning) || beginning.startsWith(word));

/** The stem of every word of the rows that has one of `stems`, by the word in folded form. */
const stemsOfWords = async (
  db: Queryable,
  rows: Iterable<Row>,
  stems: readonly string[],
): Promise<ReadonlyMap<string, string>> => {
  if (stems.length === 0) return new Map();
  const beginnings = stems.map((stem) => Array.from(stem).slice(0, 3).join(''));
  const candidates = new Set<string>();
  for (const row of rows) {
    for (const word of splitWords(`${row.title}\n${row.excerpt}\n${row.content}`)) {
      const folded = foldText(word);
      if (mayHaveStem(folded, beginnings)) candidates.add(folded);
    }
  }
  const { rows: found } = await db.query<{ word: string; stem: string }>(
    `SELECT asked.word, stem FROM unnest($1::text[]) AS asked (word),
       LATERAL unnest(tsvector_to_array(to_tsvector('pg_catalog.english', treadle.search_text(asked.word)))) AS stem
     WHERE stem = ANY ($2::text[])`,
    [[...candidates].slice(0, wordsCompared), stems],
  );
  return new Map(found.map(({ word, stem }) => [word, stem]));
};

const highlightsOf = (row: Row, kindOf: (word: string) => string | undefined): readonly string[] => {
  for (const text of [row.content, row.excerpt, row.title]) {
    const found = highlight(text, kindOf);
    if (found.length > 0) return found;
  }
  return row.chunk === null ? [] : opening(row.chunk);
};

/** The page as callers get it. Documents that were deleted since they were ranked are left out. */
export const describeHits = async (
  db: Queryable,
  workspaceId: string,
  documents: readonly PlacedDocument[],
  stems: readonly string[],
): Promise<readonly SearchHit[]> => {
  if (documents.length === 0) return [];
  const rows = await readRows(db, workspaceId, documents);
  const known = await stemsOfWords(db, rows.values(), stems);
  const kindOf = (word: string): string | undefined => known.get(foldText(word));
  return documents.flatMap(({ id, score }): SearchHit[] => {
    const row = rows.get(id);
    if (!row) return [];
    const { title, excerpt, status, tags } = row;
    const author = row.author_id === null ? null : { id: row.author_id, name: row.author_name ?? '' };
    const highlights = highlightsOf(row, kindOf);
    return [
      {
        id,
        title,
        score,
        highlights,
        excerpt,
        status,
        tags,
        author,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
      },
    ];
  });
};
