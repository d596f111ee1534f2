import { z } from 'zod';
import { validationError } from '../../../lib/errors/app-error.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { cutPage, mostCandidates } from '../cut-page.ts';
import { fuseRanks } from '../fuse-ranks.ts';
import type { BackendAnswer, BackendQuery, RankedBy, SearchBackend, SearchPosition } from '../search-port.ts';
import type { SearchSort, Suggestions, TitleSuggestion } from '../types.ts';
import { countAndRank, type Ranked, type RankedDocument } from './count-and-rank.ts';
import { describeHits, type PlacedDocument } from './describe-hits.ts';
import { orderingOf, type WordMatch } from './match-conditions.ts';
import { nearestDocuments, type NearDocument } from './nearest-documents.ts';
import { correctSpelling, readWords, type ReadWords } from './read-words.ts';

const suggestionsEach = 5;
const listing: WordMatch = { kind: 'anything' };

type Candidate = RankedDocument & Pick<PlacedDocument, 'chunk'>;

const positionKey: Readonly<Record<'score' | 'updated_at' | 'title_key', z.ZodType<string | number>>> = {
  score: z.number(),
  updated_at: z.string().regex(/^\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(:\d\d)*$/),
  title_key: z.string(),
};

const checkPosition = (sort: SearchSort, match: WordMatch, after: SearchPosition): void => {
  const shape = z.tuple([positionKey[orderingOf(sort, match).column], z.uuid()]);
  if (!shape.safeParse(after).success) {
    throw validationError('the search', [{ path: 'cursor', message: 'is not a cursor of this search' }]);
  }
};

const keyOf = (document: RankedDocument, column: 'score' | 'updated_at' | 'title_key'): string | number =>
  ({ score: document.score, updated_at: document.updatedAt, title_key: document.titleKey })[column];

/** Full text search, vectors and suggestions of Postgres alone. */
export class PostgresSearch implements SearchBackend {
  readonly name = 'postgres';
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  search(query: BackendQuery): Promise<BackendAnswer> {
    const { rankedBy } = query;
    if (rankedBy.kind === 'words') return this.#byWords(query, rankedBy.words);
    if (rankedBy.kind === 'vector') return this.#byVector(query, rankedBy);
    if (rankedBy.kind === 'both') return this.#byBoth(query, rankedBy);
    return this.#answerFromSql(query, { match: listing, groups: [], stems: [] });
  }

  async suggest(workspaceId: string, typed: string): Promise<Suggestions> {
    const { rows } = await this.#db.query<{ titles: readonly TitleSuggestion[]; tags: readonly string[] }>(
      `SELECT
         (SELECT coalesce(jsonb_agg(jsonb_build_object('id', t.document_id, 'title', t.title) ORDER BY t.place), '[]')
           FROM treadle.suggest_titles($1, typed.key, $3) WITH ORDINALITY AS t (document_id, title, place)) AS titles,
         (SELECT coalesce(jsonb_agg(t.tag ORDER BY t.place), '[]')
           FROM treadle.suggest_tags($1, typed.key, $3) WITH ORDINALITY AS t (tag, place)) AS tags
       FROM (SELECT treadle.search_key($2) AS key) AS typed WHERE typed.key <> ''`,
      [workspaceId, typed, suggestionsEach],
    );
    return rows[0] ?? { titles: [], tags: [] };
  }

  async #byWords(query: BackendQuery, words: string): Promise<BackendAnswer> {
    const read = await readWords(this.#db, words);
    const answer = await this.#answerFromSql(query, read);
    if (answer.total > 0) return answer;
    const corrected = await correctSpelling(this.#db, query.workspaceId, words, read);
    return corrected ? this.#answerFromSql(query, corrected) : answer;
  }

  /** The page is cut in the database. */
  async #answerFromSql(query: BackendQuery, { match, stems }: ReadWords): Promise<BackendAnswer> {
    const { workspaceId, filters, sort, limit, offset, after } = query;
    if (after) checkPosition(sort, match, after);
    const { total, documents, facets } = await countAndRank(this.#db, {
      workspaceId,
      match,
      filters,
      sort,
      offset,
      after,
      limit: limit + 1,
    });
    const page = documents.slice(0, limit);
    const hits = await describeHits(this.#db, workspaceId, page, stems);
    const last = documents.length > limit ? page.at(-1) : undefined;
    return { total, facets, hits, next: last ? [keyOf(last, orderingOf(sort, match).column), last.id] : null };
  }

  async #byVector(query: BackendQuery, { model, vector }: RankedBy & { kind: 'vector' }): Promise<BackendAnswer> {
    const { workspaceId, filters } = query;
    const [counts, near] = await Promise.all([
      countAndRank(this.#db, { workspaceId, match: listing, filters, sort: 'relevance', limit: 0, offset: 0 }),
      nearestDocuments(this.#db, { workspaceId, model, vector, filters }),
    ]);
    return this.#answerFromCandidates(query, counts, near.map(withChunk), []);
  }

  async #byBoth(query: BackendQuery, { words, model, vector }: RankedBy & { kind: 'both' }): Promise<BackendAnswer> {
    const { workspaceId, filters } = query;
    const [{ counts, read }, near] = await Promise.all([
      this.#candidatesByWords(query, words),
      nearestDocuments(this.#db, { workspaceId, model, vector, filters }),
    ]);
    const candidates = new Map<string, Candidate>(counts.documents.map((document) => [document.id, document]));
    for (const document of near) candidates.set(document.id, withChunk(document));
    const scores = fuseRanks([counts.documents.map(({ id }) => id), near.map(({ id }) => id)]);
    const fused = [...candidates.values()].map((candidate) => ({ ...candidate, score: scores.get(candidate.id) ?? 0 }));
    return this.#answerFromCandidates(query, counts, fused, read.stems);
  }

  async #candidatesByWords(query: BackendQuery, words: string): Promise<{ counts: Ranked; read: ReadWords }> {
    const { workspaceId, filters } = query;
    const rank = ({ match }: ReadWords): Promise<Ranked> =>
      countAndRank(this.#db, { workspaceId, match, filters, sort: 'relevance', limit: mostCandidates, offset: 0 });
    const read = await readWords(this.#db, words);
    const counts = await rank(read);
    if (counts.total > 0) return { counts, read };
    const corrected = await correctSpelling(this.#db, workspaceId, words, read);
    return corrected ? { counts: await rank(corrected), read: corrected } : { counts, read };
  }

  /** The page is cut from at most 1,000 ranked candidates. */
  async #answerFromCandidates(
    { workspaceId, sort, limit, offset, after }: BackendQuery,
    { total, facets }: Ranked,
    candidates: readonly Candidate[],
    stems: readonly string[],
  ): Promise<BackendAnswer> {
    const ranked: WordMatch = { kind: 'words', websearch: '', key: '' };
    if (after) checkPosition(sort, ranked, after);
    const { page, next } = cutPage(candidates, { sort, limit, offset, after });
    const hits = await describeHits(this.#db, workspaceId, page, stems);
    return { total, facets, hits, next };
  }
}

const withChunk = ({ chunkStart, chunkEnd, ...document }: NearDocument): Candidate => ({
  ...document,
  chunk: { start: chunkStart, end: chunkEnd },
});
