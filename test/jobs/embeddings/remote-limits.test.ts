import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { embedDocumentHandler } from '../../../src/jobs/embeddings/handler.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { OpenAiServer } from '../../doubles/openai-server.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase } from '../../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../../services/redis.ts';

const server = new OpenAiServer();
beforeAll(() => server.start());
afterEach(() => server.reset());
afterAll(() => server.stop());

/** A worker that embeds by the server, and documents for it. */
const useDocuments = (env: Readonly<Record<string, string>>, redis?: TestRedis) => {
  const database = useDatabase();
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [],
    handlers: [embedDocumentHandler],
    env: {
      ...env,
      OPENAI_API_KEY: server.apiKey,
      TREADLE_EMBEDDING_DIMENSIONS: '32',
      get OPENAI_BASE_URL() {
        return server.baseUrl;
      },
    },
  });
  /** Answers the id of the document's job. */
  const write = async (title: string): Promise<string> => {
    await database.query(
      `WITH workspace AS (INSERT INTO treadle.workspaces (name) VALUES ($1) RETURNING id)
       INSERT INTO treadle.knowledge (workspace_id, title, content) SELECT id, $1, $1 FROM workspace`,
      [title],
    );
    const [row] = await database.query<{ id: string }>(
      `SELECT job.id FROM treadle.all_jobs AS job JOIN treadle.knowledge AS document ON document.id::text = job.payload ->> 'documentId'
       WHERE document.title = $1`,
      [title],
    );
    return row?.id ?? '';
  };
  /** The job once it waits to run again. */
  const delayed = (id: string): Promise<JobRecord> =>
    vi.waitUntil(
      async () => {
        const job = await treadle.platform.jobs.find(id);
        return job?.state === 'delayed' ? job : undefined;
      },
      { timeout: 20_000 },
    );
  return { database, treadle, write, delayed };
};

describe('a service that fails', () => {
  const { database, treadle, write, delayed } = useDocuments({ OPENAI_REQUESTS_PER_MINUTE: '100' });

  it('is left alone by jobs for as long as its breaker is open', async () => {
    server.behaveAlways({ kind: 'status', status: 503 });
    // Each of these is tried twice.
    for (const query of ['one', 'two', 'three'])
      await expect(treadle.platform.embeddings.embedQuery(query)).rejects.toMatchObject({ status: expect.any(Number) });
    expect(server.requests).toHaveLength(5);
    const job = await delayed(await write('walrus'));
    expect(job.failures).toMatchObject([{ attempt: 1, error: { code: 'CIRCUIT_BREAKER_OPEN' } }]);
    // Its own backoff would be a second at most.
    expect(job.dueAt.getTime() - Date.now()).toBeGreaterThan(10_000);
    expect(server.requests).toHaveLength(5);
    expect(await database.query('SELECT points FROM treadle.rate_limits')).toEqual([{ points: 5 }]);
    expect(await treadle.platform.meter.expose()).toContain(
      'treadle_remote_breaker_state{service="embeddings",state="open"} 1\n',
    );
  });
});

describeWithRedis('requests a minute', () => {
  const redis = useRedis();
  const { treadle, write, delayed } = useDocuments({ OPENAI_REQUESTS_PER_MINUTE: '2' }, redis);

  it('beyond the limit wait for the next minute, at no cost of an attempt', async () => {
    for (const title of ['one', 'two'])
      expect(await treadle.platform.jobs.wait(await write(title), 20_000)).toMatchObject({ state: 'completed' });
    const job = await delayed(await write('three'));
    expect(job).toMatchObject({ attemptsMade: 0, failures: [] });
    expect(server.requests).toHaveLength(2);
    expect(await redis.client.get('{treadle:limits:embeddings}:embeddings')).toBe('3');
  });
});
