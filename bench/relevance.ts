import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { LocalEmbedder } from '../src/domain/embeddings/local-embedder.ts';
import { ElasticsearchSearch } from '../src/domain/search/elasticsearch/elasticsearch-search.ts';
import { KnowledgeIndex } from '../src/domain/search/elasticsearch/knowledge-index.ts';
import { PostgresSearch } from '../src/domain/search/postgres/postgres-search.ts';
import type { SearchBackend } from '../src/domain/search/search-port.ts';
import { searchModes } from '../src/domain/search/types.ts';
import { connectElasticsearch } from '../src/lib/elasticsearch/connect-elasticsearch.ts';
import { ownServer } from '../src/lib/embedded/own-server.ts';
import { createLog, type Log } from '../src/lib/log/create-log.ts';
import { Postgres } from '../src/lib/postgres/postgres.ts';
import { RateLimits } from '../src/lib/resilience/rate-limits.ts';
import { RemoteServices } from '../src/lib/resilience/remote-services.ts';
import { Meter } from '../src/lib/telemetry/meter.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import { fillWorkspace, type JudgedWorkspace } from '../test/relevance/judged-workspace.ts';
import {
  meanQuality,
  measureRelevance,
  type BackendFigures,
  type Quality,
} from '../test/relevance/measure-relevance.ts';
import { readJudgedSet, type JudgedQuery, type JudgedSet } from '../test/relevance/read-judged-set.ts';
import { findElasticsearchProgram, missingElasticsearch } from '../test/services/elasticsearch-program.ts';
import { ElasticsearchServer } from '../test/services/elasticsearch-server.ts';
import { endsWithParent } from '../test/services/service.ts';

interface Measured {
  readonly backend: SearchBackend['name'];
  readonly figures: BackendFigures;
}

/** In an Elasticsearch of its own; undefined where there is none. */
const measureElasticsearch = async (
  postgres: Postgres,
  workspace: JudgedWorkspace,
  { queries }: JudgedSet,
  log: Log,
): Promise<Measured | undefined> => {
  const program = await findElasticsearchProgram();
  if (!program) {
    console.error(`bench: no Elasticsearch, whose rows are left out: ${missingElasticsearch}`);
    return undefined;
  }
  const server = await ElasticsearchServer.start(program);
  const limits = new RateLimits({ redis: undefined, postgres, log });
  const services = new RemoteServices({ meter: new Meter(log), log, limits });
  const elasticsearch = connectElasticsearch({ url: server.url }, services);
  try {
    const model = new LocalEmbedder();
    const index = new KnowledgeIndex({ elasticsearch, db: postgres, model });
    await index.initializeIndices();
    await index.reindexWorkspace(workspace.workspaceId);
    await index.refresh();
    const backend = new ElasticsearchSearch({ elasticsearch, definition: index.definition, model });
    return { backend: backend.name, figures: await measureRelevance(workspace, backend, queries) };
  } finally {
    await elasticsearch.close();
    await server.stop();
  }
};

const measureAll = async (postgres: Postgres, set: JudgedSet, log: Log): Promise<readonly Measured[]> => {
  const workspace = await fillWorkspace(postgres, set.documents);
  const backend = new PostgresSearch(postgres);
  const inPostgres: Measured = {
    backend: backend.name,
    figures: await measureRelevance(workspace, backend, set.queries),
  };
  const inElasticsearch = await measureElasticsearch(postgres, workspace, set, log);
  return [inPostgres, ...(inElasticsearch ? [inElasticsearch] : [])];
};

/** Of all queries, then of each kind of them. */
const rowsOf = ({ backend, figures }: Measured, queries: readonly JudgedQuery[]) =>
  searchModes.flatMap((mode) => {
    const { queries: byQuery, ...all } = figures[mode];
    const kinds = [...new Set(queries.map(({ kind }) => kind))].map((kind) => {
      const ofKind = queries.filter((query) => query.kind === kind).flatMap(({ query }) => byQuery[query] ?? []);
      return { backend, mode, kind, count: ofKind.length, ...meanQuality(ofKind) };
    });
    return [{ backend, mode, kind: 'all', count: queries.length, ...all }, ...kinds];
  });

const cells = ({ ndcg, mrr }: Quality): string => `${ndcg.toFixed(3).padStart(7)}  ${mrr.toFixed(3).padStart(6)}`;

const print = (measured: readonly Measured[], { documents, queries }: JudgedSet): void => {
  const rows = measured.flatMap((each) => rowsOf(each, queries));
  for (const row of rows) console.log(JSON.stringify({ bench: 'relevance', documents: documents.length, ...row }));
  console.log(`\n${'backend'.padEnd(13)}  ${'mode'.padEnd(8)}  ${'queries'.padEnd(15)}  nDCG@10     MRR`);
  for (const { backend, mode, kind, count, ...quality } of rows) {
    const asked = `${count} ${kind}`.padEnd(15);
    console.log(`${backend.padEnd(13)}  ${mode.padEnd(8)}  ${asked}  ${cells(quality)}`);
  }
  console.log(`\n${documents.length} documents, ${queries.length} judged queries, Node ${process.version}`);
  const summary = rows.filter(({ kind }) => kind === 'all').map((row) => `${row.backend} ${row.mode} ${row.ndcg}`);
  console.log(`bench relevance: nDCG@10 ${summary.join(', ')}`);
};

/** How good the answers to the judged queries of test/relevance/ are, by mode and backend, in servers of its own. */
export const benchRelevance = async (): Promise<void> => {
  const log = createLog({ level: 'warn' });
  const set = await readJudgedSet();
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-bench-'));
  const server = await ownServer({ dataDir: folder, log, wrapper: endsWithParent() });
  try {
    await migrateAll(server.url, log);
    const postgres = new Postgres(
      { url: server.url, directUrl: server.url, poolSize: 8, statementTimeoutMs: 60_000, applicationName: 'bench' },
      log,
    );
    const measured = await measureAll(postgres, set, log).finally(() => postgres.close());
    print(measured, set);
  } finally {
    await server.close();
    await fs.rm(folder, { recursive: true, force: true });
  }
};
