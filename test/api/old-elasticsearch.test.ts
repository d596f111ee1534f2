import { once } from 'node:events';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rebuildIndex } from '../../src/domain/search/indexes/rebuild-index.ts';
import { startReplicator } from '../../src/workers/replicator.ts';
import { dropSlot, slotNameOf } from '../../src/lib/replication/slot.ts';
import { runTreadle } from '../cli/run-treadle.ts';
import { useApi } from './use-api.ts';

/** Answers like an Elasticsearch 7, to everything. */
const asked: string[] = [];
const server = http.createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  request.resume();
  const answer = request.url?.startsWith('/_nodes') ? { nodes: { one: { version: '7.17.28' } } } : {};
  response
    .writeHead(200, { 'content-type': 'application/json', 'x-elastic-product': 'Elasticsearch' })
    .end(JSON.stringify(answer));
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address();
const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;

describe('with an Elasticsearch of version 7', () => {
  const api = useApi({ env: { ELASTICSEARCH_URL: url } });
  beforeAll(async () => {
    const { id } = await api.platform.workspaces.ensure('library');
    await api.platform.knowledge.create(id, { title: 'Looms', content: 'under tension', status: 'published' });
  });
  afterAll(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const needed = {
    code: 'CONFIGURATION_ERROR',
    details: { faults: [{ variable: 'ELASTICSEARCH_URL', message: expect.stringContaining('7.17.28') }] },
  };

  test('processes start, and Postgres answers searches, marked degraded', async () => {
    const answer = await api.call('POST', '/v1/workspaces/library/search', { body: { query: 'tension' } });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ total: 1, backend: 'postgres', degraded: true });
  });

  test('a rebuild is refused by naming the variable, and makes nothing there', async () => {
    const replicator = await startReplicator(api.platform);
    try {
      asked.splice(0);
      const rebuilding = rebuildIndex(api.platform.indexes.get('knowledge'), {
        reason: 'test',
        signal: new AbortController().signal,
        onProgress: () => undefined,
        onFailed: () => Promise.resolve(),
      });
      await expect(rebuilding).rejects.toMatchObject(needed);
      expect(asked.filter((line) => !line.startsWith('GET'))).toEqual([]);
    } finally {
      await replicator.close();
      await dropSlot(api.database.postgres, await slotNameOf(api.database.postgres));
    }
  });

  test('treadle check says which variable, and what answers', async () => {
    const { exitCode, stdout } = await runTreadle(['check'], {
      env: { DATABASE_URL: api.database.url, ELASTICSEARCH_URL: url },
    });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/FAILED +ELASTICSEARCH_URL: Elasticsearch 8 or 9 is needed, and 7\.17\.28 answers/);
  });
});
