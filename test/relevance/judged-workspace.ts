import { createHash } from 'node:crypto';
import { EmbeddingService } from '../../src/domain/embeddings/embedding-service.ts';
import { LocalEmbedder } from '../../src/domain/embeddings/local-embedder.ts';
import type { SearchBackend } from '../../src/domain/search/search-port.ts';
import { SearchService } from '../../src/domain/search/search-service.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import type { Postgres } from '../../src/lib/postgres/postgres.ts';
import type { EmbeddableDocument } from '../../src/domain/embeddings/types.ts';
import { inLanes } from './in-lanes.ts';
import type { CorpusDocument } from './read-judged-set.ts';

/** Longer than a busy machine takes: without its vector a search is another. */
const embedTimeoutMs = 60_000;

/** The same in every run: equal scores are ordered by it, and Elasticsearch spreads documents by it. */
const uuidOf = (name: string): string => {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

const insertDocuments = `
  INSERT INTO treadle.knowledge (id, workspace_id, title, excerpt, content, status)
  SELECT id, $1, title, excerpt, content, 'published'
  FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) AS given (id, title, excerpt, content)`;

const insertTags = `
  WITH given AS (
    SELECT DISTINCT document, tag FROM unnest($2::uuid[], $3::text[]) AS given (document, tag)
  ), made AS (
    INSERT INTO treadle.tags (workspace_id, name) SELECT DISTINCT $1::uuid, tag FROM given RETURNING id, name
  )
  INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
  SELECT $1, given.document, made.id FROM given JOIN made ON made.name = given.tag`;

/** A workspace with the documents of the judged set. */
export interface JudgedWorkspace {
  readonly workspaceId: string;
  /** Of the corpus, by the ids the documents have here. */
  readonly names: ReadonlyMap<string, string>;
  readonly searchIn: (backend: SearchBackend) => SearchService;
}

/** Writes the documents and embeds them with the local embedder, as its jobs would. Once in a database. */
export const fillWorkspace = async (
  postgres: Postgres,
  documents: readonly CorpusDocument[],
): Promise<JudgedWorkspace> => {
  const workspaceId = uuidOf('the judged set');
  const log = createLog({ level: 'warn' });
  const embeddings = new EmbeddingService(postgres, new LocalEmbedder(), log);
  const rows = documents.map((document) => ({ ...document, name: document.id, id: uuidOf(document.id) }));
  await postgres.query(`INSERT INTO treadle.workspaces (id, name) VALUES ($1, 'relevance')`, [workspaceId]);
  await postgres.query(insertDocuments, [
    workspaceId,
    rows.map(({ id }) => id),
    rows.map(({ title }) => title),
    rows.map(({ excerpt }) => excerpt),
    rows.map(({ content }) => content),
  ]);
  const tags = rows.flatMap(({ id, tags: names }) => names.map((name) => ({ id, name })));
  await postgres.query(insertTags, [workspaceId, tags.map(({ id }) => id), tags.map(({ name }) => name)]);
  const { rows: stored } = await postgres.query<EmbeddableDocument>(
    'SELECT id, workspace_id AS "workspaceId", title, excerpt, content, version FROM treadle.knowledge WHERE workspace_id = $1',
    [workspaceId],
  );
  await inLanes(stored, (document) => embeddings.refresh(document));
  return {
    workspaceId,
    names: new Map(rows.map(({ id, name }) => [id, name])),
    searchIn: (backend) => new SearchService({ postgres, backend, embedder: embeddings, log, embedTimeoutMs }),
  };
};
