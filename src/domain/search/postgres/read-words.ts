import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { editDistance, mistakesAllowed } from '../../../lib/text/edit-distance.ts';
import { parseQuery, wantedWords, websearchText, withSpellings, type QueryGroups } from '../query-text.ts';
import type { WordMatch } from './match-conditions.ts';

/** A query as it is searched, and the stems that are marked where they occur. */
export interface ReadWords {
  readonly match: WordMatch;
  readonly groups: QueryGroups;
  readonly stems: readonly string[];
}

interface StemRow {
  readonly nodes: number;
  readonly stems: readonly string[];
  readonly key: string;
}

const mostSpellings = 3;
const mostMisspelt = 32;

const readGroups = async (db: Queryable, query: string, groups: QueryGroups): Promise<ReadWords> => {
  const websearch = websearchText(groups);
  const { rows } = await db.query<StemRow>(
    `SELECT numnode(websearch_to_tsquery('pg_catalog.english', treadle.without_accents($1))) AS nodes,
       tsvector_to_array(to_tsvector('pg_catalog.english', treadle.search_text($2))) AS stems, treadle.search_key($3) AS key`,
    [websearch, wantedWords(groups).join(' '), query],
  );
  const { nodes, stems, key } = rows[0] ?? { nodes: 0, stems: [], key: '' };
  const match: WordMatch = nodes === 0 ? { kind: 'literal', text: query, key } : { kind: 'words', websearch, key };
  return { match, groups, stems };
};

/** Reads what was typed. Any text has a reading; the empty one is not asked for here. */
export const readWords = (db: Queryable, query: string): Promise<ReadWords> => readGroups(db, query, parseQuery(query));

const unknownWords = async (
  db: Queryable,
  workspaceId: string,
  words: readonly string[],
): Promise<readonly string[]> => {
  const { rows } = await db.query<{ word: string }>(
    `SELECT asked.word FROM unnest($2::text[]) AS asked (word),
       LATERAL (SELECT plainto_tsquery('pg_catalog.english', treadle.search_text(asked.word)) AS query) AS q
     WHERE numnode(q.query) > 0 AND NOT EXISTS (
       SELECT 1 FROM treadle.search_documents AS s WHERE s.workspace_id = $1 AND s.vector @@ q.query)`,
    [workspaceId, words],
  );
  return rows.map((row) => row.word);
};

const spellingsOf = async (db: Queryable, workspaceId: string, word: string): Promise<readonly string[]> => {
  const { rows } = await db.query<{ key: string; alike: string | null }>(
    `SELECT treadle.search_key($2) AS key, alike
     FROM (SELECT 1) AS one LEFT JOIN treadle.similar_words($1, treadle.search_key($2), 40) AS alike ON true`,
    [workspaceId, word],
  );
  return rows
    .flatMap(({ key, alike }) =>
      alike?.[0] === key[0] && alike ? [{ alike, distance: editDistance(key, alike) }] : [],
    )
    .filter(({ distance }) => distance <= mistakesAllowed(Array.from(word).length))
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, mostSpellings)
    .map(({ alike }) => alike);
};

/**
 * The query with those of its words that occur in no document of the workspace replaced by words of its titles and tags
 * that begin alike and are spelt nearly so; undefined when there is nothing to replace.
 */
export const correctSpelling = async (
  db: Queryable,
  workspaceId: string,
  query: string,
  { groups }: ReadWords,
): Promise<ReadWords | undefined> => {
  const single = groups.flat().filter((term) => !term.negated && !term.quoted && term.words.length === 1);
  const words = [...new Set(single.flatMap((term) => term.words))].slice(0, mostMisspelt);
  if (words.length === 0) return undefined;
  const spellings = new Map<string, readonly string[]>();
  for (const word of await unknownWords(db, workspaceId, words)) {
    const found = await spellingsOf(db, workspaceId, word);
    if (found.length > 0) spellings.set(word, found);
  }
  return spellings.size === 0 ? undefined : readGroups(db, query, withSpellings(groups, spellings));
};
