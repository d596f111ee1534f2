import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { BulkWriter } from '../../../src/domain/search/indexes/bulk-writer.ts';
import { connectTo } from '../../services/elasticsearch.ts';

/** A server that takes no more than `mostBytes` at once; Elasticsearch's own limit is 100 MB. */
const serve = async (mostBytes: number) => {
  const requests: number[] = [];
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const body = await text(request);
    requests.push(body.length);
    const operations = body.trim().split('\n').length / 2;
    const items = Array.from({ length: operations }, () => ({ index: { status: 201 } }));
    response.writeHead(body.length > mostBytes ? 413 : 200, {
      'content-type': 'application/json',
      'x-elastic-product': 'Elasticsearch',
    });
    response.end(JSON.stringify(body.length > mostBytes ? {} : { items }));
  };
  const server = http.createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { requests, url: `http://127.0.0.1:${port}`, close: () => server.close() };
};

const operation = (id: string, letters: number) => ({
  id,
  indexId: id,
  version: '1',
  document: JSON.stringify({ content: 'x'.repeat(letters) }),
});

it('a document that is larger than the server takes keeps no other from being written', async () => {
  const { url, close } = await serve(1_000);
  const elasticsearch = connectTo({ url });
  try {
    const writer = new BulkWriter(elasticsearch, 'knowledge');
    const report = await writer.write(['a', 'b', 'c', 'd', 'e'].map((id) => operation(id, id === 'd' ? 2_000 : 300)));
    expect(report).toMatchObject({ written: 4, failed: [{ id: 'd', error: { code: 'PAYLOAD_TOO_LARGE' } }] });
  } finally {
    await elasticsearch.close();
    close();
  }
});

it('documents travel in requests of at most 4,000 and of about ten megabytes', async () => {
  const { url, close, requests } = await serve(1e9);
  const elasticsearch = connectTo({ url });
  try {
    const writer = new BulkWriter(elasticsearch, 'knowledge');
    await writer.write(Array.from({ length: 4_001 }, (_, index) => operation(`${index}`, 10)));
    expect(requests).toHaveLength(2);
    await writer.write(['a', 'b', 'c'].map((id) => operation(id, 4_500_000)));
    expect(requests).toHaveLength(4);
  } finally {
    await elasticsearch.close();
    close();
  }
});
