// Refreshes every document of a workspace, twenty at a time, as workers would; a process of its own, to be killed.
import { env } from 'node:process';
import { createEmbedder } from '../../../src/domain/embeddings/create-embedder.ts';
import { EmbeddingService } from '../../../src/domain/embeddings/embedding-service.ts';
import { KnowledgeService } from '../../../src/domain/knowledge/service.ts';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { openServices } from '../../lib/resilience/open-services.ts';

const config = loadConfig(env);
const log = createLog({ level: 'error' });
const url = config.database.url ?? '';
const postgres = new Postgres(
  { url, directUrl: url, poolSize: 20, statementTimeoutMs: 30_000, applicationName: 'refresh' },
  log,
);
const knowledge = new KnowledgeService({ postgres, log });
const embeddings = new EmbeddingService(postgres, createEmbedder(config, openServices().services), log);

const { rows } = await postgres.query<{ id: string; workspace_id: string }>(
  'SELECT id, workspace_id FROM treadle.knowledge ORDER BY id',
);
const work = rows.values();
await Promise.all(
  Array.from({ length: 20 }, async () => {
    for (const { id, workspace_id: workspaceId } of work) {
      const document = await knowledge.findById(workspaceId, id);
      if (document) await embeddings.refresh(document);
    }
  }),
);
await embeddings.close();
await postgres.close();
