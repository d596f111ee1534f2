import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  connectElasticsearch,
  type ElasticsearchAddress,
} from '../../../src/lib/elasticsearch/connect-elasticsearch.ts';
import { testCertificate, testKey } from '../../services/redis-tls.ts';
import { openServices } from '../resilience/open-services.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** A server that answers everything alike, and remembers what it was asked. */
const serve = async (answer: Answer, tls?: https.ServerOptions) => {
  const { status = 200, body = {}, headers = { 'x-elastic-product': 'Elasticsearch' } } = answer;
  const asked: http.IncomingMessage[] = [];
  const handle: http.RequestListener = (request, response) => {
    asked.push(request);
    request.resume();
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
  const server = tls ? https.createServer(tls, handle) : http.createServer(handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { asked, url: `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${port}` };
};

const connect = (address: ElasticsearchAddress) => {
  const elasticsearch = connectElasticsearch(address, openServices().services);
  closing.unshift(() => elasticsearch.close());
  return elasticsearch;
};
const nodes = (version: string) => ({ nodes: { one: { version } } });
const failed = (type: string) => ({
  error: { root_cause: [{ type, reason: 'of "secret words"' }], type, reason: 'of "secret words"' },
});

/** The error of a search that the server answers so. */
const errorOf = async (answer: Answer): Promise<unknown> => {
  const { url } = await serve(answer);
  return connect({ url })
    .call((client, options) => client.search({ query: { match: { title: 'secret words' } } }, options))
    .then(
      () => undefined,
      (error: unknown) => error,
    );
};

describe('an Elasticsearch', () => {
  it('of version 8 or 9 is taken, and no other', async () => {
    for (const version of ['8.19.2', '9.1.0']) {
      await connect({ url: (await serve({ body: nodes(version) })).url }).checkVersion();
    }
    for (const answer of [{ body: nodes('7.17.28') }, { body: { nodes: {} } }, { body: nodes('8.1.0'), headers: {} }]) {
      const { url } = await serve(answer);
      await expect(connect({ url }).checkVersion()).rejects.toMatchObject({
        code: 'CONFIGURATION_ERROR',
        details: { faults: [{ variable: 'ELASTICSEARCH_URL' }] },
      });
    }
  });

  it('is sent the key, or the name and password', async () => {
    const { url, asked } = await serve({ body: nodes('8.19.2') });
    await connect({ url, credentials: { apiKey: 'a2V5' } }).checkVersion();
    await connect({ url, credentials: { username: 'ada', password: 'pass' } }).checkVersion();
    expect(asked.map(({ headers }) => headers.authorization)).toEqual([
      'ApiKey a2V5',
      `Basic ${Buffer.from('ada:pass').toString('base64')}`,
    ]);
  });

  it('whose certificate is signed by an own authority is known by it', async () => {
    const { url } = await serve(
      { body: nodes('8.19.2') },
      { key: fs.readFileSync(testKey), cert: fs.readFileSync(testCertificate) },
    );
    await connect({ url, ca: testCertificate }).checkVersion();
    await expect(connect({ url }).checkVersion()).rejects.toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR' });
    await expect(connect({ url, ca: `${testCertificate}.none` }).checkVersion()).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      details: { faults: [{ variable: 'ELASTICSEARCH_CA' }] },
    });
  });
});

describe('an error of Elasticsearch', () => {
  it.each([
    [400, 'parsing_exception', { code: 'EXTERNAL_SERVICE_ERROR', retryable: false }],
    [401, 'security_exception', { code: 'CONFIGURATION_ERROR' }],
    [403, 'security_exception', { code: 'CONFIGURATION_ERROR' }],
    [404, 'index_not_found_exception', { code: 'SERVICE_UNAVAILABLE', retryable: false }],
    [413, 'too_large', { code: 'PAYLOAD_TOO_LARGE' }],
    [429, 'es_rejected_execution_exception', { code: 'RATE_LIMITED', details: { retryAfterMs: 1_000 } }],
    [429, 'cluster_block_exception', { code: 'SERVICE_UNAVAILABLE', retryable: false }],
    [503, 'no_shard_available_action_exception', { code: 'EXTERNAL_SERVICE_ERROR', retryable: true }],
  ])('of status %i and type %s is told by its kind, without what was asked', async (status, type, expected) => {
    const error = await errorOf({ status, body: failed(type) });
    expect(error).toMatchObject(expected);
    const { message, cause, stack } = error as Error;
    expect(JSON.stringify([message, String(cause), cause, stack, error])).not.toContain('secret');
  });

  it('that has no words, as of a proxy, is one too', async () => {
    expect(await errorOf({ status: 502, body: 'secret words' })).toMatchObject({
      code: 'EXTERNAL_SERVICE_ERROR',
      retryable: true,
    });
  });

  it('that is no answer may pass', async () => {
    await expect(connect({ url: 'http://127.0.0.1:9' }).checkVersion()).rejects.toMatchObject({
      code: 'EXTERNAL_SERVICE_ERROR',
      retryable: true,
    });
  });
});
