import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { BatchingEmbedder } from '../../../src/domain/embeddings/batching-embedder.ts';
import { EmbeddingEndpoint } from '../../../src/lib/openai/embedding-endpoint.ts';
import { OpenAiServer } from '../../doubles/openai-server.ts';
import { openServices } from '../../lib/resilience/open-services.ts';

const server = new OpenAiServer();
beforeAll(() => server.start());
afterEach(() => server.reset());
afterAll(() => server.stop());

const batching = (limits: ConstructorParameters<typeof BatchingEmbedder>[1] = {}) =>
  new BatchingEmbedder(
    new EmbeddingEndpoint({
      apiKey: server.apiKey,
      baseUrl: server.baseUrl,
      model: 'text-embedding-3-small',
      dimensions: 16,
      service: openServices().services.open({ name: 'embeddings' }),
    }),
    limits,
  );
const texts = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `text ${from + index}`);

it('fills one request with the texts of callers that ask at the same time', async () => {
  const embedder = batching();
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => embedder.embed(texts(3, index * 3))));
  expect(answers.every((vectors) => vectors.length === 3)).toBe(true);
  expect(server.requests.map((request) => request.input.length)).toEqual([60]);
});

it('never sends more texts or tokens at once than allowed, and one request at a time', async () => {
  const embedder = batching({ maxTexts: 10, maxTokens: 100 });
  server.hold();
  const answer = Promise.all([embedder.embed(texts(25)), embedder.embed(['long words '.repeat(60)])]);
  await vi.waitUntil(() => server.requests.length === 1);
  await delay(30);
  expect(server.requests).toHaveLength(1);
  server.release();
  await answer;
  expect(server.requests.map((request) => request.input.length)).toEqual([10, 10, 5, 1]);
});

it('asks once for a text that several callers bring', async () => {
  const embedder = batching();
  const [[a], [b]] = await Promise.all([embedder.embed(['same']), embedder.embed(['same'])]);
  expect(a).toEqual(b);
  expect(server.timesRequested.get('same')).toBe(1);
});

it('fails the one text that the service refuses, and nobody else', async () => {
  const embedder = batching();
  server.refusedTexts.add('poison');
  const results = await Promise.allSettled([
    embedder.embed(texts(9)),
    embedder.embed(['poison']),
    embedder.embed(texts(9, 9)),
  ]);
  expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  await expect(Promise.reject(results[1]?.status === 'rejected' ? results[1].reason : undefined)).rejects.toMatchObject(
    {
      code: 'EXTERNAL_SERVICE_ERROR',
      retryable: false,
    },
  );
});

it('keeps quiet for as long as a 429 asks, and tells every caller how long', async () => {
  const embedder = batching({ maxTexts: 2 });
  server.behave({ kind: 'rate-limit', retryAfterMs: '400' });
  const results = await Promise.allSettled([
    embedder.embed(texts(2)),
    embedder.embed(texts(2, 2)),
    embedder.embed(texts(2, 4)),
  ]);
  expect(results.every((result) => result.status === 'rejected')).toBe(true);
  await expect(embedder.embed(['later'])).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  await expect(embedder.embed(['a query'], { urgent: true })).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  expect(server.requests).toHaveLength(1);
  await delay(410);
  await expect(embedder.embed(['later'])).resolves.toHaveLength(1);
});

it('sends what is urgent at once, beside a request that takes its time', async () => {
  const embedder = batching();
  server.behave({ kind: 'slow', delayMs: 300 });
  const slow = embedder.embed(['a document']);
  await vi.waitUntil(() => server.requests.length === 1);
  await embedder.embed(['a query'], { urgent: true });
  expect(server.requests).toHaveLength(2);
  await expect(Promise.race([slow.then(() => 'slow'), Promise.resolve('query')])).resolves.toBe('query');
  await slow;
});

it('leaves out what nobody waits for any more', async () => {
  const embedder = batching({ maxTexts: 1 });
  server.hold();
  const first = embedder.embed(['first']);
  const abort = new AbortController();
  const second = embedder.embed(['second'], { signal: abort.signal });
  await vi.waitUntil(() => server.requests.length === 1);
  abort.abort();
  await expect(second).rejects.toMatchObject({ code: 'INTERRUPTED' });
  server.release();
  await first;
  await embedder.embed(['third']);
  expect(server.requests.flatMap((request) => request.input)).toEqual(['first', 'third']);
});

it('closes although requests hang, failing what waits', async () => {
  const embedder = batching({ maxTexts: 1 });
  server.hold();
  const waiting = Promise.allSettled([embedder.embed(['one']), embedder.embed(['two'])]);
  await vi.waitUntil(() => server.requests.length === 1);
  await embedder.close();
  expect((await waiting).map((result) => result.status)).toEqual(['rejected', 'rejected']);
  await expect(embedder.embed(['three'])).rejects.toMatchObject({ code: 'INTERRUPTED' });
});
