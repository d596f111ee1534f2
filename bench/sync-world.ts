import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { defineIndex } from '../src/domain/search/define-index.ts';
import type { IndexedModel } from '../src/domain/search/elasticsearch/definition.ts';
import { KnowledgeSource } from '../src/domain/search/elasticsearch/knowledge-source.ts';
import { createIndex } from '../src/domain/search/indexes/initialize-indices.ts';
import type { IndexSource } from '../src/domain/search/indexes/index-source.ts';
import { SearchIndex } from '../src/domain/search/indexes/search-index.ts';
import { TableSource } from '../src/domain/search/indexes/table-source.ts';
import { connectElasticsearch, type Elasticsearch } from '../src/lib/elasticsearch/connect-elasticsearch.ts';
import { ownServer } from '../src/lib/embedded/own-server.ts';
import { createLog, type Log } from '../src/lib/log/create-log.ts';
import { Postgres } from '../src/lib/postgres/postgres.ts';
import { RateLimits } from '../src/lib/resilience/rate-limits.ts';
import { RemoteServices } from '../src/lib/resilience/remote-services.ts';
import { Meter } from '../src/lib/telemetry/meter.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import type { ElasticsearchProgram } from '../test/services/elasticsearch-program.ts';
import { ElasticsearchServer } from '../test/services/elasticsearch-server.ts';
import { endsWithParent } from '../test/services/service.ts';
import { realDocuments, type RealDocument } from './real-documents.ts';

export interface SyncConnections {
  readonly postgres: Postgres;
  readonly elasticsearch: Elasticsearch;
  readonly log: Log;
  close(): Promise<void>;
}

/** As a process of Treadle's has them. */
export const connectSync = (postgresUrl: string, elasticsearchUrl: string): SyncConnections => {
  const log = createLog({ level: 'warn' });
  const postgres = new Postgres(
    { url: postgresUrl, directUrl: postgresUrl, poolSize: 10, statementTimeoutMs: 600_000, applicationName: 'bench' },
    log,
  );
  const limits = new RateLimits({ redis: undefined, postgres, log });
  const services = new RemoteServices({ meter: new Meter(log), log, limits });
  const elasticsearch = connectElasticsearch({ url: elasticsearchUrl }, services);
  return {
    postgres,
    elasticsearch,
    log,
    close: async () => {
      await elasticsearch.close();
      await postgres.close();
    },
  };
};

export interface SyncWorld extends SyncConnections {
  readonly postgresUrl: string;
  readonly elasticsearchUrl: string;
}

/** Servers of the benchmark's own, in temporary folders, gone afterwards. */
export const openWorld = async (program: ElasticsearchProgram): Promise<SyncWorld> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-bench-'));
  const log = createLog({ level: 'warn' });
  const server = await ownServer({
    dataDir: folder,
    log,
    wrapper: endsWithParent(),
    settings: { max_wal_size: '4GB' },
  });
  const search = await ElasticsearchServer.start(program, { heapMegabytes: 2_048 });
  await migrateAll(server.url, log);
  const connections = connectSync(server.url, search.url);
  return {
    ...connections,
    postgresUrl: server.url,
    elasticsearchUrl: search.url,
    close: async () => {
      await connections.close();
      await search.stop();
      await server.close();
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
};

/** Rows that the stream carries whole. */
export const articles = defineIndex({
  name: 'articles',
  table: 'public.article',
  fields: { title: 'title', body: 'body', status: 'status', mark: 'mark', created_at: 'created_at' },
  mapping: {
    title: { type: 'text' },
    body: { type: 'text' },
    status: { type: 'keyword' },
    mark: { type: 'keyword' },
    created_at: { type: 'date' },
  },
});

/** The same rows with their author and tags, which have to be read again. */
const joinedArticles = defineIndex({
  ...articles,
  name: 'joined',
  one: { author: { table: 'public.author', on: { id: 'author_id' }, fields: { author: 'name' } } },
  many: {
    tags: {
      table: 'public.tag',
      on: { id: 'tag_id' },
      through: { table: 'public.article_tag', on: { article_id: 'id' } },
      column: 'name',
    },
  },
  mapping: { ...articles.mapping, author: { type: 'keyword' }, tags: { type: 'keyword' } },
});

/** Of no embedder: its vectors are invented. */
export const model: IndexedModel = { model: 'invented', dimensions: 1_536 };

const tables = `
  CREATE TABLE public.author (id integer PRIMARY KEY, name text NOT NULL);
  CREATE TABLE public.tag (id integer PRIMARY KEY, name text NOT NULL);
  CREATE TABLE public.article (id uuid PRIMARY KEY, place integer NOT NULL UNIQUE, title text NOT NULL, body text NOT NULL,
    status text NOT NULL DEFAULT 'published', mark text NOT NULL DEFAULT '', author_id integer NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE public.article_tag (article_id uuid NOT NULL, tag_id integer NOT NULL, PRIMARY KEY (article_id, tag_id));
  CREATE INDEX ON public.article_tag (tag_id);
  INSERT INTO public.author SELECT n, 'Author ' || n FROM generate_series(0, 199) AS n;
  INSERT INTO public.tag SELECT n, 'tag-' || n FROM generate_series(0, 99) AS n;`;

const insertArticles = `
  WITH given AS (SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[]) AS given (id, place, title, body)),
  made AS (INSERT INTO public.article (id, place, title, body, author_id) SELECT id, place, title, body, place % 200 FROM given RETURNING id, place)
  INSERT INTO public.article_tag SELECT id, tag FROM made, LATERAL (VALUES (place % 50), (50 + place % 49), (99)) AS tags (tag)`;

/** About 0.9 kB as JSON. */
const bodyOf = (documents: readonly RealDocument[], place: number): string => {
  let body = '';
  for (let next = place; body.length < 700; next += 1) body += `${documents[next % documents.length]?.content ?? ''}\n`;
  return body.slice(0, 700);
};

export const createArticles = async (postgres: Postgres): Promise<void> => {
  await postgres.query(tables);
};

/** Rows from a place on, up to another. */
export const fillArticles = async (postgres: Postgres, start: number, end: number): Promise<void> => {
  const texts = await realDocuments(20_000);
  for (let from = start; from < end; from += 1_000) {
    const places = Array.from({ length: Math.min(1_000, end - from) }, (_, index) => from + index);
    await postgres.query(insertArticles, [
      places.map(() => randomUUID()),
      places,
      places.map((place) => texts[place % texts.length]?.title ?? ''),
      places.map((place) => bodyOf(texts, place)),
    ]);
  }
  await postgres.query('ANALYZE');
};

const insertDocuments = [
  `INSERT INTO treadle.users (id, workspace_id, name) VALUES ('00000000-0000-4000-8000-000000000002', $1, 'Author')`,
  `INSERT INTO treadle.tags (workspace_id, name) SELECT $1, 'tag-' || n FROM generate_series(0, 99) AS n`,
  `INSERT INTO treadle.knowledge (id, workspace_id, title, content, status, excerpt, author_id)
   SELECT id, $1, title, body, 'published', left(body, 100), '00000000-0000-4000-8000-000000000002' FROM public.article WHERE place < $2 ORDER BY place`,
  `INSERT INTO treadle.knowledge_tags (workspace_id, knowledge_id, tag_id)
   SELECT $1, l.article_id, t.id FROM public.article AS a JOIN public.article_tag AS l ON l.article_id = a.id
   JOIN treadle.tags AS t ON t.workspace_id = $1 AND t.name = 'tag-' || l.tag_id WHERE a.place < $2`,
];

const insertVectors = [
  `INSERT INTO treadle.embeddings (workspace_id, entity_type, entity_id, chunk_index, model, dimensions, content_hash, chunk_start,
     chunk_end, bits, vector)
   SELECT $1, 'knowledge', id, 0, $2, $3, sha256(id::text::bytea), 0, 400, B'0',
     ARRAY(SELECT (round(((random() - 0.5) * 0.09)::numeric, 7))::real FROM generate_series(1, $3::integer) WHERE place >= 0)
   FROM public.article WHERE place BETWEEN $4 AND $5`,
  `INSERT INTO treadle.embedded_entities (workspace_id, entity_type, entity_id, model, dimensions, version, chunks)
   SELECT $1, 'knowledge', id, $2, $3, 1, 1 FROM public.article WHERE place BETWEEN $4 AND $5`,
];

/**
 * Documents of Treadle's own, of the articles' ids and texts: `plain` without vectors, and `embedded` behind them with an invented one
 * each. Without triggers: what Postgres itself searches is not made.
 */
export const fillKnowledge = async (postgres: Postgres, plain: number, embedded: number): Promise<void> => {
  const end = plain + embedded;
  const workspaceId = randomUUID();
  await postgres.transaction(async (tx) => {
    await tx.query('SET LOCAL session_replication_role = replica');
    for (const statement of insertDocuments) {
      await tx.query(statement, statement.includes('$2') ? [workspaceId, end] : [workspaceId]);
    }
    for (const statement of insertVectors) {
      await tx.query(statement, [workspaceId, model.model, model.dimensions, plain, end - 1]);
    }
  });
  await postgres.query('ANALYZE');
};

export type SyncSource = 'articles' | 'joined' | 'knowledge';

export const openSource = async (postgres: Postgres, name: SyncSource): Promise<IndexSource> => {
  if (name === 'knowledge') return new KnowledgeSource(model);
  return TableSource.open(postgres, name === 'joined' ? joinedArticles : articles, model, '');
};

/** The index of a source, new and empty, and known as live. */
export const renewIndex = async (
  { postgres, elasticsearch }: SyncConnections,
  source: IndexSource,
): Promise<SearchIndex> => {
  const index = new SearchIndex({ source, elasticsearch, db: postgres });
  const { names } = source.definition;
  await elasticsearch.call((client, options) =>
    client.indices.delete({ index: names.index, ignore_unavailable: true }, { ...options, ignore: [404] }),
  );
  await createIndex(elasticsearch, source.definition, names.index, [names.alias], [names.live]);
  await index.states.setLive(source.name, names.index);
  return index;
};
