import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { createServer, type Server } from '../../src/api/server.ts';
import { embedDocumentHandler } from '../../src/jobs/embeddings/handler.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithPgbouncer, settingsOfSessions, usePgbouncer } from '../services/pgbouncer.ts';
import { useTreadle } from './use-treadle.ts';

const note = defineJob({ name: 'pooled.note', payload: z.object({ n: z.int() }), result: z.int(), attempts: 3 });
const poolSize = 3;

describeWithPgbouncer('a platform with all its roles behind pgbouncer', (program) => {
  const database = useDatabase({ schema: 'empty' });
  // Who names a table without its schema finds none.
  beforeAll(() =>
    database.query(
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public', current_database()); END $$`,
    ),
  );
  const pooled = usePgbouncer(program, database, { poolSize });
  const treadle = useTreadle({
    database,
    pooled,
    contracts: [note],
    handlers: [handle(note, async ({ payload }) => completed(payload.n * 2)), embedDocumentHandler],
    env: { TREADLE_MIGRATE: 'auto' },
  });
  let server: Server;
  beforeAll(async () => {
    server = await createServer(treadle.platform);
    await database.query('CREATE TABLE public.notes (n int PRIMARY KEY)');
  });
  afterAll(() => server?.close());

  const call = async (method: 'GET' | 'POST', url: string, body?: object) => {
    const headers = { host: 'localhost', ...(body ? { 'content-type': 'application/json' } : {}) };
    const payload = body ? { payload: JSON.stringify(body) } : {};
    const answer = await server.app.inject({ method, url, headers, ...payload });
    return { status: answer.statusCode, body: answer.json() };
  };

  test('documents are written, embedded by jobs and found; nodes are saved; jobs of transactions run', async () => {
    const { platform } = treadle;
    expect((await call('POST', '/v1/workspaces', { name: 'pooled' })).status).toBe(201);
    const documents = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        call('POST', '/v1/workspaces/pooled/knowledge', { title: `Otter ${n}`, content: 'Otters hold hands.' }),
      ),
    );
    expect(documents.map(({ status }) => status)).toEqual(documents.map(() => 201));
    const nodes = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        call('POST', '/v1/nodes/function-model?workspace=pooled', { name: `Model ${n}` }),
      ),
    );
    expect(nodes.map(({ status }) => status)).toEqual(nodes.map(() => 201));

    const jobs = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        platform.postgres.transaction(async (tx) => {
          await tx.query('INSERT INTO public.notes VALUES ($1)', [n]);
          return platform.enqueuer.enqueue(note, { n }, { tx });
        }),
      ),
    );
    const ended = await Promise.all(jobs.map(({ id }) => platform.jobs.wait(id, 30_000)));
    expect(ended.map((job) => [job?.state, job?.result])).toEqual(jobs.map((_, n) => ['completed', n * 2]));

    const embedded = () => database.query(`SELECT FROM treadle.jobs WHERE name = 'embeddings.embed-document'`);
    await expect.poll(embedded, { timeout: 30_000 }).toEqual([]);
    const found = await call('POST', '/v1/workspaces/pooled/search', { query: 'otters', mode: 'hybrid' });
    expect(found.body).toMatchObject({ total: 40, degraded: false });
    const listed = await call('GET', '/v1/nodes/function-model?workspace=pooled&limit=100');
    expect(listed.body.items).toHaveLength(20);
    expect((await call('GET', '/health/db')).body).toMatchObject({ connected: true });
  });

  test('nothing that was done there stays set on a connection, or prepared', async () => {
    const untouched = { settings: null, prepared: 0, channels: 0 };
    expect(await settingsOfSessions(pooled.url, poolSize)).toEqual(Array.from({ length: poolSize }, () => untouched));
  });
});
