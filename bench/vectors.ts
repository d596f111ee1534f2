import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chunkDocument, contentHash } from '../src/domain/embeddings/chunk-document.ts';
import { EmbeddingRepository } from '../src/domain/embeddings/embedding-repository.ts';
import { EmbeddingService } from '../src/domain/embeddings/embedding-service.ts';
import { LocalEmbedder } from '../src/domain/embeddings/local-embedder.ts';
import { signBits } from '../src/domain/embeddings/sign-bits.ts';
import { vectorText } from '../src/domain/embeddings/vector-text.ts';
import { PostgresSearch } from '../src/domain/search/postgres/postgres-search.ts';
import { SearchService } from '../src/domain/search/search-service.ts';
import { ownServer } from '../src/lib/embedded/own-server.ts';
import { createLog, type Log } from '../src/lib/log/create-log.ts';
import { Postgres } from '../src/lib/postgres/postgres.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import { endsWithParent } from '../test/services/service.ts';
import { median, percentile } from './measure.ts';
import { realDocuments, type RealDocument } from './real-documents.ts';

const documentCount = 64_000;
const queryCount = 100;
const batch = 1_000;
const limitMs = 200;
const leastRecall = 0.98;

interface Measured {
  readonly measure: string;
  readonly medianMs: number;
  readonly p95Ms: number;
}

interface Stored {
  readonly workspaceId: string;
  readonly ids: readonly string[];
  readonly vectors: readonly Float32Array[];
}

const insertDocuments = `
  WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS given (title, content, tags, place)
  ), made AS (
    INSERT INTO treadle.knowledge (workspace_id, title, content, status)
    SELECT $1, title, content, 'published' FROM given ORDER BY place RETURNING id
  ) SELECT id FROM made ORDER BY id`;

const insertTags = `
  WITH given AS (
    SELECT document, tag FROM unnest($2::uuid[], $3::text[]) AS given (document, tags), unnest(string_to_array(tags, '|')) AS tag
  ), made AS (
    INSERT INTO treadle.tags (workspace_id, name) SELECT DISTINCT $1::uuid, tag FROM given
    ON CONFLICT (workspace_id, name) DO UPDATE SET name = excluded.name RETURNING id, name
  )
  INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
  SELECT DISTINCT $1::uuid, given.document, made.id FROM given JOIN made ON made.name = given.tag`;

const insertVectors = `
  INSERT INTO treadle.embeddings (workspace_id, entity_type, entity_id, chunk_index, model, dimensions, content_hash,
    chunk_start, chunk_end, bits, vector)
  SELECT $1, 'knowledge', id, 0, $2, $3, hash, 0, stop, bits::bit varying, vector::real[]
  FROM unnest($4::uuid[], $5::bytea[], $6::integer[], $7::text[], $8::text[]) AS given (id, hash, stop, bits, vector)`;

const store = async (
  postgres: Postgres,
  embedder: LocalEmbedder,
  documents: readonly RealDocument[],
): Promise<Stored> => {
  const { rows } = await postgres.query<{ id: string }>(
    `INSERT INTO treadle.workspaces (name) VALUES ('bench') RETURNING id`,
  );
  const workspaceId = rows[0]?.id ?? '';
  const ids: string[] = [];
  const vectors: Float32Array[] = [];
  for (let from = 0; from < documents.length; from += batch) {
    const slice = documents.slice(from, from + batch);
    const written = await postgres.query<{ id: string }>(insertDocuments, [
      workspaceId,
      slice.map((document) => document.title),
      slice.map((document) => document.content),
      slice.map(() => ''),
    ]);
    const madeIds = written.rows.map((row) => row.id);
    await postgres.query(insertTags, [workspaceId, madeIds, slice.map((document) => document.tags.join('|'))]);
    const texts = slice.map(({ title, content }) => chunkDocument({ title, content, excerpt: '' })[0]?.text ?? title);
    const made = await embedder.embed(texts);
    await postgres.query(insertVectors, [
      workspaceId,
      embedder.model,
      embedder.dimensions,
      madeIds,
      texts.map((text) => contentHash(embedder.model, embedder.dimensions, text)),
      slice.map((document) => document.content.length),
      made.map(signBits),
      made.map(vectorText),
    ]);
    ids.push(...madeIds);
    vectors.push(...made);
  }
  await postgres.query('VACUUM ANALYZE treadle.embeddings');
  await postgres.query('VACUUM ANALYZE treadle.search_documents');
  await postgres.query('VACUUM ANALYZE treadle.knowledge');
  return { workspaceId, ids, vectors };
};

const dot = (a: Float32Array, b: Float32Array): number => {
  let sum = 0;
  for (let index = 0; index < a.length; index += 1) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
};

/** Of the ten best by exact cosine, the share among `found`; documents of equal cosine may stand for each other. */
const recallAtTen = ({ ids, vectors }: Stored, query: Float32Array, found: readonly string[]): number => {
  const scores = vectors.map((vector) => dot(vector, query));
  const tenth = scores.toSorted((a, b) => b - a)[9] ?? 0;
  const good = new Set(ids.filter((_, index) => (scores[index] ?? 0) >= tenth - 1e-6));
  return Math.min(10, found.filter((id) => good.has(id)).length) / 10;
};

const time = async (
  measure: string,
  queries: readonly string[],
  run: (query: string) => Promise<unknown>,
): Promise<Measured> => {
  const times: number[] = [];
  for (const query of queries) {
    const startedAt = performance.now();
    await run(query);
    times.push(performance.now() - startedAt);
  }
  return { measure, medianMs: median(times), p95Ms: percentile(times, 0.95) };
};

/** What people type: a few words from the middle of documents, and questions of our own. */
const queriesFrom = (documents: readonly RealDocument[]): readonly string[] => {
  const own = [
    'compress a folder',
    'play music in the terminal',
    'fonts for japanese',
    'plot data with python',
    'encrypted backups',
  ];
  const step = Math.floor(documents.length / (queryCount - own.length));
  const drawn = documents
    .filter((_, index) => index % step === 7)
    .map((document) => {
      const words = document.content.split(/\s+/);
      const start = Math.max(0, Math.floor(words.length / 6) - 2);
      return words.slice(start, start + 4).join(' ');
    });
  return [...drawn.slice(0, queryCount - own.length), ...own];
};

const exactCosine = (postgres: Postgres, workspaceId: string, query: Float32Array): Promise<unknown> =>
  postgres.query(
    `SELECT entity_id FROM treadle.embeddings WHERE workspace_id = $1
     ORDER BY (SELECT sum(a::float8 * b) FROM (SELECT unnest(vector::real[]) AS a, unnest($2::real[]) AS b) AS pair) DESC LIMIT 10`,
    [workspaceId, vectorText(query)],
  );

const print = (rows: readonly Measured[], recall: number, storage: string): void => {
  for (const row of rows) console.log(JSON.stringify({ bench: 'vectors', documents: documentCount, storage, ...row }));
  console.log(JSON.stringify({ bench: 'vectors', documents: documentCount, storage, measure: 'recall@10', recall }));
  const width = Math.max(...rows.map(({ measure }) => measure.length));
  console.log(`\n${'measure'.padEnd(width)}  median ms     p95 ms`);
  for (const { measure, medianMs, p95Ms } of rows) {
    console.log(`${measure.padEnd(width)}  ${medianMs.toFixed(1).padStart(9)}  ${p95Ms.toFixed(1).padStart(9)}`);
  }
  const load = os
    .loadavg()
    .map((value) => value.toFixed(1))
    .join(' ');
  console.log(
    `\n${documentCount} documents, vectors as ${storage}, ${os.cpus().length} cores, load ${load}, Node ${process.version}`,
  );
};

const measureAll = async (postgres: Postgres, log: Log): Promise<void> => {
  const embedder = new LocalEmbedder();
  const documents = await realDocuments(documentCount);
  const stored = await store(postgres, embedder, documents);
  const embeddings = new EmbeddingService(postgres, embedder, log);
  const search = new SearchService({ postgres, backend: new PostgresSearch(postgres), embedder: embeddings, log });
  const repository = new EmbeddingRepository(embedder.model, embedder.dimensions);
  const queries = queriesFrom(documents);
  const { workspaceId } = stored;
  await search.search({ workspaceId, query: 'warm up' });

  let recall = 0;
  const nearest = await time('nearest ten chunks', queries, async (query) => {
    const vector = await embeddings.embedQuery(query);
    await embeddings.nearestChunks({ workspaceId, vector, limit: 10 });
  });
  for (const query of queries) {
    const vector = await embeddings.embedQuery(query);
    const found = await embeddings.nearestChunks({ workspaceId, vector, limit: 10 });
    recall +=
      recallAtTen(
        stored,
        vector,
        found.map((chunk) => chunk.entityId),
      ) / queries.length;
  }
  const rows = [nearest];
  for (const mode of ['semantic', 'keyword', 'hybrid'] as const) {
    rows.push(
      await time(`${mode} search, facets and highlights`, queries, (query) =>
        search.search({ workspaceId, query, mode }),
      ),
    );
  }
  rows.push(
    await time('exact cosine over all', queries.slice(0, 3), async (query) =>
      exactCosine(postgres, workspaceId, await embeddings.embedQuery(query)),
    ),
  );
  print(rows, recall, await repository.storage(postgres));
  const [nearestMs = 0, semanticMs = 0, , , exactMs = 0] = rows.map((row) => row.medianMs);
  console.log(
    `bench vectors: recall@10 ${recall.toFixed(3)} of ${leastRecall}, semantic ${semanticMs.toFixed(0)} ms of ${limitMs}, exact/nearest ${(exactMs / nearestMs).toFixed(0)}`,
  );
};

/** Semantic search over 64,000 documents of real text, in a Postgres of its own. */
export const benchVectors = async (): Promise<void> => {
  const log = createLog({ level: 'warn' });
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-bench-'));
  const server = await ownServer({ dataDir: folder, log, wrapper: endsWithParent() });
  try {
    await migrateAll(server.url, log);
    const postgres = new Postgres(
      { url: server.url, directUrl: server.url, poolSize: 4, statementTimeoutMs: 600_000, applicationName: 'bench' },
      log,
    );
    await measureAll(postgres, log).finally(() => postgres.close());
  } finally {
    await server.close();
    await fs.rm(folder, { recursive: true, force: true });
  }
};
