import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { retryAfterMsOf } from '../../../src/lib/errors/retry-after.ts';
import { EmbeddingEndpoint } from '../../../src/lib/openai/embedding-endpoint.ts';
import { retryAfterMs } from '../../../src/lib/openai/retry-after.ts';
import { OpenAiServer, type Behaviour } from '../../doubles/openai-server.ts';
import { openServices } from '../resilience/open-services.ts';

const server = new OpenAiServer();
beforeAll(() => server.start());
afterEach(() => server.reset());
afterAll(() => server.stop());

const service = (timeoutMs = 30_000) => openServices().services.open({ name: 'embeddings', timeoutMs });
const endpoint = ({ timeoutMs, ...options }: { readonly timeoutMs?: number; readonly model?: string } = {}) =>
  new EmbeddingEndpoint({
    apiKey: server.apiKey,
    baseUrl: server.baseUrl,
    model: 'text-embedding-3-small',
    dimensions: 64,
    service: service(timeoutMs),
    ...options,
  });

describe('an embedding endpoint', () => {
  it('answers one vector a text, in order, whatever order they came in', async () => {
    server.behave({ kind: 'shuffled' });
    const [a, b] = await endpoint().embed(['alpha', 'beta']);
    const [alone] = await endpoint().embed(['alpha']);
    expect(a).toHaveLength(64);
    expect(a).toEqual(alone);
    expect(b).not.toEqual(a);
    expect(server.requests[0]).toMatchObject({ encoding_format: 'float', dimensions: 64 });
  });

  it('does not send dimensions to a model that would refuse them', async () => {
    server.behave({ kind: 'dimensions', dimensions: 64 });
    await endpoint({ model: 'nomic-embed-text' }).embed(['alpha']);
    expect(server.requests[0]).not.toHaveProperty('dimensions');
  });

  it.each<[string, Behaviour, object]>([
    [
      'a 429 with seconds',
      { kind: 'rate-limit', retryAfter: '7' },
      { code: 'RATE_LIMITED', details: { retryAfterMs: 7_000 } },
    ],
    [
      'a 429 with milliseconds',
      { kind: 'rate-limit', retryAfterMs: '250' },
      { code: 'RATE_LIMITED', details: { retryAfterMs: 250 } },
    ],
    ['a 429 without a word', { kind: 'rate-limit' }, { code: 'RATE_LIMITED', details: { retryAfterMs: 5_000 } }],
    [
      'a 500',
      { kind: 'status', status: 500 },
      { code: 'EXTERNAL_SERVICE_ERROR', retryable: true, details: { status: 500 } },
    ],
    ['a 503', { kind: 'status', status: 503 }, { code: 'EXTERNAL_SERVICE_ERROR', retryable: true }],
    ['a cut connection', { kind: 'cut' }, { code: 'EXTERNAL_SERVICE_ERROR', retryable: true }],
    ['an answer cut short', { kind: 'cut-in-body' }, { code: 'EXTERNAL_SERVICE_ERROR', retryable: true }],
    [
      'a 400',
      { kind: 'status', status: 400 },
      { code: 'EXTERNAL_SERVICE_ERROR', retryable: false, details: { status: 400 } },
    ],
    ['a 401', { kind: 'status', status: 401 }, { code: 'EXTERNAL_SERVICE_ERROR', retryable: false }],
    ['too few vectors', { kind: 'too-few' }, { code: 'EXTERNAL_SERVICE_ERROR', retryable: false }],
  ])('reports %s as what it is, and asks once only', async (_, behaviour, expected) => {
    server.behave(behaviour);
    await expect(endpoint().embed(['alpha', 'beta'])).rejects.toMatchObject(expected);
    expect(server.requests).toHaveLength(1);
  });

  it('names the model and both numbers when the dimensions are wrong', async () => {
    server.behave({ kind: 'dimensions', dimensions: 32 });
    await expect(endpoint().embed(['alpha'])).rejects.toMatchObject({
      code: 'EXTERNAL_SERVICE_ERROR',
      retryable: false,
      message: expect.stringMatching(/text-embedding-3-small.*32.*64/),
    });
  });

  it('reports an answer that is not JSON as a failure of the service', async () => {
    server.behave({ kind: 'not-json' });
    await expect(endpoint().embed(['alpha'])).rejects.toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR' });
  });

  it('gives up at its time-out', async () => {
    server.behave({ kind: 'slow', delayMs: 2_000 });
    await expect(endpoint({ timeoutMs: 100 }).embed(['alpha'])).rejects.toMatchObject({
      code: 'TIMEOUT',
      retryable: true,
    });
  });

  it('ends the request when the caller gives up', async () => {
    server.hold();
    const abort = new AbortController();
    const asked = endpoint().embed(['alpha'], { signal: abort.signal });
    await vi.waitUntil(() => server.requests.length === 1);
    abort.abort();
    await expect(asked).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });

  it('reports a server that is not there as passing', async () => {
    const gone = new EmbeddingEndpoint({
      apiKey: 'x',
      baseUrl: 'http://127.0.0.1:1/v1',
      model: 'm',
      dimensions: 8,
      service: service(),
    });
    await expect(gone.embed(['alpha'])).rejects.toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR', retryable: true });
  });

  it('is left alone after five failures in a row, whoever asks', async () => {
    server.behaveAlways({ kind: 'status', status: 503 });
    const failing = endpoint();
    for (let failure = 1; failure <= 5; failure += 1)
      await expect(failing.embed(['alpha'])).rejects.toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR' });
    await expect(failing.embed(['alpha'])).rejects.toMatchObject({
      code: 'CIRCUIT_BREAKER_OPEN',
      details: { service: 'embeddings', retryAfterMs: expect.any(Number) },
    });
    expect(server.requests).toHaveLength(5);
  });

  it('is not left alone for requests that it refuses', async () => {
    server.behaveAlways({ kind: 'status', status: 400 });
    const refusing = endpoint();
    for (let failure = 1; failure <= 6; failure += 1)
      await expect(refusing.embed(['alpha'])).rejects.toMatchObject({ details: { status: 400 } });
    server.behaveAlways();
    await expect(refusing.embed(['alpha'])).resolves.toHaveLength(1);
  });

  it('is asked nothing until the pause is over that a 429 asks for', async () => {
    server.behave({ kind: 'rate-limit', retryAfter: '60' });
    const paused = endpoint();
    await expect(paused.embed(['alpha'])).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    const error: unknown = await paused.embed(['alpha']).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'RATE_LIMITED' });
    expect(retryAfterMsOf(error)).toBeGreaterThan(50_000);
    expect(retryAfterMsOf(error)).toBeLessThanOrEqual(60_000);
    expect(server.requests).toHaveLength(1);
  });

  it('is asked once more for what is urgent, and for nothing else', async () => {
    server.behave({ kind: 'cut' }, { kind: 'shuffled' });
    await expect(endpoint().embed(['alpha'], { urgent: true })).resolves.toHaveLength(1);
    expect(server.requests).toHaveLength(2);
    server.behaveAlways({ kind: 'status', status: 500 });
    await expect(endpoint().embed(['alpha'], { urgent: true })).rejects.toMatchObject({ details: { status: 500 } });
    expect(server.requests).toHaveLength(4);
  });

  it('repeats neither key nor text in an error', async () => {
    server.behave({ kind: 'status', status: 400 });
    const error: unknown = await endpoint()
      .embed(['very secret text'])
      .catch((thrown: unknown) => thrown);
    expect(String(error)).not.toMatch(/secret text|sk-test/);
  });
});

const at = (value: string) => retryAfterMs(new Headers({ 'retry-after': value }), Date.parse('2026-01-01T00:00:00Z'));

describe('Retry-After', () => {
  it('is read as seconds or a date, within an hour', () => {
    expect(at('3')).toBe(3_000);
    expect(at('Thu, 01 Jan 2026 00:00:09 GMT')).toBe(9_000);
    expect(at('Thu, 01 Jan 2015 00:00:00 GMT')).toBe(0);
    expect(at('86400')).toBe(3_600_000);
    expect(at('soon')).toBe(5_000);
    expect(at('-5')).toBe(0);
  });
});
