import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import type { OpenOptions } from '../../../src/lib/resilience/remote-services.ts';
import { openServices } from './open-services.ts';

let answer: (response: ServerResponse) => void = (response) => response.end('hello');
let requests = 0;
/** Resolves when a client has left before its answer. */
let left = Promise.withResolvers<void>();
const server = createServer((_, response) => {
  requests += 1;
  response.on('close', () => response.writableFinished || left.resolve());
  answer(response);
});
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  answer = (response) => response.end('hello');
  requests = 0;
  left = Promise.withResolvers();
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** What a client does that knows nothing but `fetch`. */
const get = async (signal: AbortSignal): Promise<string> => {
  const response = await fetch(url(), { signal, headers: { connection: 'close' } });
  if (response.status === 429) throw new AppError('RATE_LIMITED', 'slowly', { retryAfterMs: 60_000 });
  if (!response.ok) throw new AppError('EXTERNAL_SERVICE_ERROR', 'not ok', { status: response.status });
  return response.text();
};
const open = (options: Omit<OpenOptions, 'name'> = {}) => openServices().services.open({ name: 'web', ...options });

it('a service that fails is left alone', async () => {
  const service = open();
  answer = (response) => response.writeHead(503).end();
  for (let call = 1; call <= 5; call += 1)
    await expect(service.call(get)).rejects.toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR' });
  await expect(service.call(get)).rejects.toMatchObject({ code: 'CIRCUIT_BREAKER_OPEN' });
  expect(requests).toBe(5);
});

it('a service that asks for a pause gets it', async () => {
  const service = open();
  answer = (response) => response.writeHead(429).end();
  await expect(service.call(get)).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  await expect(service.call(get)).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  expect(requests).toBe(1);
});

it('a request ends at its time-out', async () => {
  answer = () => undefined;
  await expect(open({ timeoutMs: 100 }).call(get)).rejects.toMatchObject({ code: 'TIMEOUT' });
  await left.promise;
});

it('a request ends with its caller', async () => {
  const caller = new AbortController();
  answer = () => caller.abort();
  await expect(open().call(get, { signal: caller.signal })).rejects.toMatchObject({ code: 'INTERRUPTED' });
  await left.promise;
});

it('a connection that is cut is a failure that may pass', async () => {
  answer = (response) => response.destroy();
  await expect(open().call(get)).rejects.toMatchObject({
    code: 'EXTERNAL_SERVICE_ERROR',
    retryable: true,
    details: { service: 'web' },
  });
});

it('an answer that is cut short is one too, and a retry mends it', async () => {
  answer = (response) => {
    response.writeHead(200, { 'content-length': '5' });
    if (requests > 1) response.end('whole');
    else response.write('who', () => setImmediate(() => response.destroy()));
  };
  await expect(open().call(get, { retry: { initialDelayMs: 10 } })).resolves.toBe('whole');
  expect(requests).toBe(2);
});

it('so many requests are under way at once as the bulkhead lets through', async () => {
  let running = 0;
  let most = 0;
  answer = (response) => {
    running += 1;
    most = Math.max(most, running);
    setImmediate(() => {
      running -= 1;
      response.end('hello');
    });
  };
  const service = open({ bulkhead: { max: 3 } });
  const answers = await Promise.all(Array.from({ length: 30 }, () => service.call(get)));
  expect(answers).toHaveLength(30);
  expect(most).toBeLessThanOrEqual(3);
  expect(most).toBeGreaterThan(0);
});
