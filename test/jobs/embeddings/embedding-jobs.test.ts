import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { backfillEmbeddings } from '../../../src/jobs/embeddings/contract.ts';
import { backfillEmbeddingsHandler, embedDocumentHandler } from '../../../src/jobs/embeddings/handler.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { OpenAiServer } from '../../doubles/openai-server.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const server = new OpenAiServer();
beforeAll(() => server.start());
const treadle = useTreadle({
  database,
  contracts: [],
  handlers: [embedDocumentHandler, backfillEmbeddingsHandler],
  env: {
    OPENAI_API_KEY: server.apiKey,
    TREADLE_EMBEDDING_DIMENSIONS: '32',
    get OPENAI_BASE_URL() {
      return server.baseUrl;
    },
  },
});
afterEach(() => server.reset());
afterAll(() => server.stop());

let ws = '';
beforeAll(async () => {
  const [row] = await database.query<{ id: string }>(
    `INSERT INTO treadle.workspaces (name) VALUES ('jobs') RETURNING id`,
  );
  ws = row?.id ?? '';
});

const write = async (title: string): Promise<string> => {
  const [row] = await database.query<{ id: string }>(
    `INSERT INTO treadle.knowledge (workspace_id, title, content) VALUES ($1, $2, 'About ' || $2) RETURNING id`,
    [ws, title],
  );
  return row?.id ?? '';
};
const jobOf = async (documentId: string): Promise<JobRecord> => {
  const [row] = await database.query<{ id: string }>(
    `SELECT id FROM treadle.all_jobs WHERE payload ->> 'documentId' = $1 ORDER BY id DESC LIMIT 1`,
    [documentId],
  );
  const job = await treadle.platform.jobs.wait(row?.id ?? '', 20_000);
  if (!job) throw new Error('the document has no job');
  return job;
};
const chunksOf = (id: string) => database.query('SELECT 1 FROM treadle.embeddings WHERE entity_id = $1', [id]);

it('embed what plain SQL writes, so that a search by meaning finds it', async () => {
  const id = await write('walrus whiskers');
  expect(await jobOf(id)).toMatchObject({ state: 'completed', result: { chunks: 1, embedded: 1, reused: 0 } });
  const { hits, degraded } = await treadle.platform.search.search({
    workspaceId: ws,
    query: 'whiskers',
    mode: 'semantic',
  });
  expect(degraded).toBe(false);
  expect(hits[0]?.id).toBe(id);
});

it('wait as long as a 429 asks, which costs no attempt', async () => {
  server.behave({ kind: 'rate-limit', retryAfterMs: '300' });
  const id = await write('patience');
  const job = await jobOf(id);
  expect(job).toMatchObject({ state: 'completed' });
  expect(job.attemptsMade).toBe(1);
  expect(server.requests.length).toBeGreaterThanOrEqual(2);
});

it('try again after a failure that passes', async () => {
  server.behave({ kind: 'status', status: 500 });
  const job = await jobOf(await write('resilience'));
  expect(job).toMatchObject({ state: 'completed', attemptsMade: 2 });
});

it('give up at once on a document that the endpoint refuses, and on nothing else', async () => {
  server.refusedTexts.add('poison\n\nAbout poison');
  const [bad, good] = await Promise.all([write('poison'), write('antidote')]);
  const job = await jobOf(bad);
  expect(job).toMatchObject({ state: 'dead', attemptsMade: 1, error: { code: 'EXTERNAL_SERVICE_ERROR' } });
  expect(await jobOf(good)).toMatchObject({ state: 'completed' });
});

it('name the model and both numbers when its dimensions are not the configured ones', async () => {
  server.behaveAlways({ kind: 'dimensions', dimensions: 16 });
  const job = await jobOf(await write('mismatch'));
  expect(job.state).toBe('dead');
  expect(job.error?.message).toMatch(/text-embedding-3-small.*16.*32/);
});

it('do nothing for a document that is gone', async () => {
  const id = await write('ephemeral');
  await jobOf(id);
  await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [id]);
  await database.query(`SELECT treadle.enqueue_embeddings(ARRAY[$1::uuid], ARRAY[$2::uuid], 'requested')`, [ws, id]);
  expect(await jobOf(id)).toMatchObject({ state: 'completed', result: { chunks: 0 } });
});

it('fill in every document whose embeddings are missing or old', async () => {
  const ids = await Promise.all(Array.from({ length: 30 }, (_, index) => write(`backfilled ${index}`)));
  for (const id of ids) await jobOf(id);
  await database.query('DELETE FROM treadle.embeddings WHERE entity_id = ANY ($1::uuid[])', [ids.slice(0, 10)]);
  await database.query('DELETE FROM treadle.embedded_entities WHERE entity_id = ANY ($1::uuid[])', [ids.slice(0, 10)]);
  const { id } = await treadle.platform.enqueuer.enqueue(backfillEmbeddings, { workspaceId: ws });
  const job = await treadle.platform.jobs.wait(id, 20_000);
  expect(job?.state).toBe('completed');
  for (const documentId of ids) {
    await vi.waitUntil(async () => (await chunksOf(documentId)).length === 1, { timeout: 20_000 });
  }
});
