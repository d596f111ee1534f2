import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { BatchingEmbedder } from '../../../src/domain/embeddings/batching-embedder.ts';
import { chunkDocument } from '../../../src/domain/embeddings/chunk-document.ts';
import { createEmbedder } from '../../../src/domain/embeddings/create-embedder.ts';
import type { Embedder } from '../../../src/domain/embeddings/embedder.ts';
import { EmbeddingService } from '../../../src/domain/embeddings/embedding-service.ts';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import type { EmbeddableDocument } from '../../../src/domain/embeddings/types.ts';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { EmbeddingEndpoint } from '../../../src/lib/openai/embedding-endpoint.ts';
import { OpenAiServer } from '../../doubles/openai-server.ts';
import { openServices } from '../../lib/resilience/open-services.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();
const server = new OpenAiServer();
beforeAll(() => server.start());
afterEach(() => server.reset());
afterAll(() => server.stop());

const remote = (maxTexts = 256): Embedder =>
  new BatchingEmbedder(
    new EmbeddingEndpoint({
      apiKey: server.apiKey,
      baseUrl: server.baseUrl,
      model: 'text-embedding-3-small',
      dimensions: 32,
      service: openServices().services.open({ name: 'embeddings' }),
    }),
    { maxTexts },
  );
const serviceWith = (embedder: Embedder): EmbeddingService =>
  new EmbeddingService(database.postgres, embedder, createLog({ level: 'silent' }));

const workspace = async (): Promise<string> => {
  const [row] = await database.query<{ id: string }>('INSERT INTO treadle.workspaces (name) VALUES ($1) RETURNING id', [
    `w-${Math.random().toString(36).slice(2)}`,
  ]);
  return row?.id ?? '';
};
const readDocument = async (id: string): Promise<EmbeddableDocument> => {
  const [row] = await database.query<EmbeddableDocument & { [column: string]: unknown }>(
    'SELECT id, workspace_id AS "workspaceId", title, excerpt, content, version FROM treadle.knowledge WHERE id = $1',
    [id],
  );
  if (!row) throw new Error('no such document');
  return row;
};
const write = async (workspaceId: string, title: string, content: string): Promise<EmbeddableDocument> => {
  const [row] = await database.query<{ id: string }>(
    'INSERT INTO treadle.knowledge (workspace_id, title, content) VALUES ($1, $2, $3) RETURNING id',
    [workspaceId, title, content],
  );
  return readDocument(row?.id ?? '');
};
const edit = async (id: string, content: string): Promise<EmbeddableDocument> => {
  await database.query('UPDATE treadle.knowledge SET content = $2 WHERE id = $1', [id, content]);
  return readDocument(id);
};
const stored = (id: string, model?: string) =>
  database.query<{ chunk_index: number; model: string; chunk_start: number; chunk_end: number }>(
    `SELECT chunk_index, model, chunk_start, chunk_end FROM treadle.embeddings
     WHERE entity_id = $1 AND ($2::text IS NULL OR model = $2) ORDER BY model, chunk_index`,
    [id, model ?? null],
  );

const section = (heading: string, words: string): string =>
  `# ${heading}\n\n${`${words} about ${heading}. `.repeat(60)}\n\n`;
const book = (...headings: readonly string[]): string =>
  headings.map((heading) => section(heading, 'Many long sentences')).join('');

const embedderOf = (env: Record<string, string>): Embedder => createEmbedder(loadConfig(env), openServices().services);

const dot = (x: Float32Array, y: Float32Array): number =>
  x.reduce((sum, value, index) => sum + value * (y[index] ?? 0), 0);
const start = (): ChildProcess =>
  spawn(process.execPath, [new URL('./refresh-documents.ts', import.meta.url).pathname], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      DATABASE_URL: database.url,
      OPENAI_API_KEY: server.apiKey,
      OPENAI_BASE_URL: server.baseUrl,
      TREADLE_EMBEDDING_DIMENSIONS: '64',
    },
  });

describe('refreshing a document', () => {
  it('embeds each chunk once, and again only what changed', async () => {
    const service = serviceWith(remote());
    const document = await write(await workspace(), 'Book', book('one', 'two', 'three', 'four'));
    const first = await service.refresh(document);
    expect(first.chunks).toBeGreaterThanOrEqual(4);
    expect(first).toEqual({ chunks: first.chunks, embedded: first.chunks, reused: 0 });
    expect(await service.refresh(document)).toEqual({ chunks: first.chunks, embedded: 0, reused: first.chunks });
    const changed = await edit(document.id, book('one', 'two', 'new', 'four'));
    const second = await service.refresh(changed);
    expect(second.embedded).toBeGreaterThan(0);
    expect(second.reused).toBeGreaterThanOrEqual(first.chunks / 2);
    expect(await stored(document.id)).toHaveLength(second.chunks);
  });

  it('keeps the vectors of chunks that only moved, and forgets those that went', async () => {
    const service = serviceWith(remote());
    const document = await write(await workspace(), 'Book', book('a', 'b', 'c', 'd'));
    await service.refresh(document);
    server.reset();
    const shorter = await service.refresh(await edit(document.id, book('a', 'd')));
    expect(shorter.reused).toBeGreaterThan(0);
    expect(await stored(document.id)).toHaveLength(shorter.chunks);
  });

  it('remembers where each chunk lies, in characters as Postgres counts them', async () => {
    const service = serviceWith(new LocalEmbedder());
    const document = await write(await workspace(), 'Crabs', `🦀🦀🦀 ${book('x', 'y')}The very last words.`);
    await service.refresh(document);
    const chunks = chunkDocument(document);
    const rows = await database.query<{ chunk_index: number; text: string }>(
      `SELECT e.chunk_index, btrim(substr(k.content, e.chunk_start + 1, e.chunk_end - e.chunk_start), E' \\n') AS text
       FROM treadle.embeddings AS e JOIN treadle.knowledge AS k ON k.id = e.entity_id WHERE k.id = $1 ORDER BY 1`,
      [document.id],
    );
    expect(rows.length).toBe(chunks.length);
    for (const [index, row] of rows.entries()) expect(chunks[index]?.text.endsWith(row.text)).toBe(true);
    expect(rows.at(-1)?.text).toMatch(/The very last words\.$/);
  });

  it('does not let an older version overwrite a newer one', async () => {
    const service = serviceWith(new LocalEmbedder());
    const old = await write(await workspace(), 'Page', book('old', 'older', 'oldest'));
    const fresh = await edit(old.id, 'Short now.');
    await service.refresh(fresh);
    await service.refresh(old);
    expect(await stored(old.id)).toHaveLength(1);
    const vector = await service.embedQuery('Page Short now.');
    const [best] = await service.nearestChunks({ workspaceId: old.workspaceId, vector, limit: 1 });
    expect(best?.score).toBeGreaterThan(0.9);
  });

  it('ends with the latest version however many refreshes run at once', async () => {
    const service = serviceWith(new LocalEmbedder());
    const versions = [await write(await workspace(), 'Race', book('v1'))];
    const [{ id } = { id: '' }] = versions;
    for (let index = 2; index <= 6; index += 1) {
      versions.push(await edit(id, book(...Array.from({ length: index }, (_, part) => `v${index}p${part}`))));
    }
    await Promise.all(
      versions
        .toReversed()
        .concat(versions)
        .map((version) => service.refresh(version)),
    );
    const latest = versions.at(-1);
    expect(await stored(id)).toHaveLength(latest ? chunkDocument(latest).length : -1);
    const [state] = await database.query<{ version: number }>(
      'SELECT version FROM treadle.embedded_entities WHERE entity_id = $1',
      [id],
    );
    expect(state?.version).toBe(latest?.version);
  });

  it('leaves nothing behind of a document deleted meanwhile, or later', async () => {
    const embedder = remote();
    const service = serviceWith(embedder);
    const workspaceId = await workspace();
    const doomed = await write(workspaceId, 'Doomed', 'text');
    server.hold();
    const refreshing = service.refresh(doomed);
    await vi.waitUntil(() => server.requests.length === 1);
    await database.query('DELETE FROM treadle.knowledge WHERE id = $1', [doomed.id]);
    server.release();
    await refreshing;
    expect(await stored(doomed.id)).toEqual([]);

    const kept = await write(workspaceId, 'Kept', 'text');
    await service.refresh(kept);
    expect(await stored(kept.id)).toHaveLength(1);
    await database.query('DELETE FROM treadle.workspaces WHERE id = $1', [workspaceId]);
    expect(await stored(kept.id)).toEqual([]);
    expect(
      await database.query('SELECT 1 FROM treadle.embedded_entities WHERE workspace_id = $1', [workspaceId]),
    ).toEqual([]);
  });

  it('keeps the vectors of two models beside each other', async () => {
    const document = await write(await workspace(), 'Two models', 'text');
    const [local, other] = [serviceWith(new LocalEmbedder()), serviceWith(remote())];
    await local.refresh(document);
    await other.refresh(document);
    expect((await stored(document.id)).map((row) => row.model)).toEqual(['local-hash-1', 'text-embedding-3-small']);
    await other.refresh(await edit(document.id, 'other text'));
    expect(await stored(document.id)).toHaveLength(2);
    expect(await local.findStale({ workspaceId: document.workspaceId, limit: 10 })).toEqual([
      { id: document.id, workspaceId: document.workspaceId },
    ]);
    expect(await other.findStale({ workspaceId: document.workspaceId, limit: 10 })).toEqual([]);
  });

  it('does not ask again for the parts of a long document that were answered before a failure', async () => {
    const embedder = remote(4);
    const service = serviceWith(embedder);
    const headings = Array.from({ length: 12 }, (_, index) => `part ${index}`);
    const document = await write(await workspace(), 'Long', book(...headings));
    server.behave(
      { kind: 'dimensions', dimensions: 32 },
      { kind: 'dimensions', dimensions: 32 },
      { kind: 'status', status: 503 },
    );
    await expect(service.refresh(document)).rejects.toMatchObject({ retryable: true });
    const result = await service.refresh(document);
    expect(await stored(document.id)).toHaveLength(result.chunks);
    const again = [...server.timesRequested.values()].filter((times) => times > 1);
    expect(again.length).toBeLessThanOrEqual(4);
    expect(await database.query('SELECT 1 FROM treadle.pending_embeddings')).toEqual([]);
  });

  it('does not share vectors between workspaces, and does within one', async () => {
    const service = serviceWith(remote());
    const [mine, theirs] = [await workspace(), await workspace()];
    expect(await service.refresh(await write(mine, 'Licence', 'The same text'))).toMatchObject({ embedded: 1 });
    expect(await service.refresh(await write(mine, 'Licence', 'The same text'))).toMatchObject({
      embedded: 0,
      reused: 1,
    });
    expect(await service.refresh(await write(theirs, 'Licence', 'The same text'))).toMatchObject({ embedded: 1 });
  });
});

describe('the embedder', () => {
  it('is the local one without a key, and the endpoint with one', () => {
    expect(embedderOf({}).model).toMatch(/^local/);
    expect(embedderOf({ OPENAI_BASE_URL: server.baseUrl }).model).toMatch(/^local/);
    expect(embedderOf({ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: server.baseUrl }).model).toBe('text-embedding-3-small');
    expect(
      embedderOf({ OPENAI_API_KEY: 'k', TREADLE_EMBEDDING_MODEL: 'm', TREADLE_EMBEDDING_DIMENSIONS: '8' }),
    ).toMatchObject({
      model: 'm',
      dimensions: 8,
    });
  });

  it('remembers the vectors of queries', async () => {
    const service = serviceWith(remote());
    expect(await service.embedQuery('a query')).toEqual(await service.embedQuery('a query'));
    expect(server.requests).toHaveLength(1);
  });

  it('of this machine is deterministic, finds what is alike, and takes any text', async () => {
    const [a = new Float32Array(), b = new Float32Array(), c = new Float32Array(), ...odd] =
      await new LocalEmbedder().embed([
        'How to configure the database connection pool',
        'configuring connection pools of a database',
        'A recipe for banana bread',
        '',
        ' ',
        '🦀',
        '知识网络',
        'x'.repeat(100_000),
        '\u0000\ud800',
      ]);
    expect(dot(a, b)).toBeGreaterThan(0.4);
    expect(dot(a, c)).toBeLessThan(0.2);
    expect(odd.every((vector) => vector.every(Number.isFinite))).toBe(true);
    expect((await new LocalEmbedder().embed(['How to configure the database connection pool']))[0]).toEqual(a);
  });
});

describe('a process killed amid 800 documents', () => {
  it('asks for at most one batch a second time, and leaves every document with exactly its chunks', async () => {
    await database.query('TRUNCATE treadle.workspaces CASCADE');
    const workspaceId = await workspace();
    await database.query(
      `INSERT INTO treadle.knowledge (workspace_id, title, content)
       SELECT $1, 'Document ' || i, 'Text number ' || i || ' of many' FROM generate_series(1, 800) AS i`,
      [workspaceId],
    );
    const killed = start();
    await vi.waitUntil(() => server.timesRequested.size > 300, { timeout: 60_000 });
    killed.kill('SIGKILL');
    expect(await once(killed, 'exit')).toEqual([null, 'SIGKILL']);
    const [code] = (await once(start(), 'exit')) as [number];
    expect(code).toBe(0);
    const [counts] = await database.query<{ chunks: number; documents: number }>(
      'SELECT count(*)::integer AS chunks, count(DISTINCT entity_id)::integer AS documents FROM treadle.embeddings',
    );
    expect(counts).toEqual({ chunks: 800, documents: 800 });
    const twice = [...server.timesRequested.values()].filter((times) => times > 1);
    // What was in flight: a text of each of the twenty documents under way, asked for and perhaps answered, not stored.
    expect(twice.length).toBeLessThanOrEqual(20);
    expect(Math.max(...server.timesRequested.values())).toBeLessThanOrEqual(2);
  }, 120_000);
});
