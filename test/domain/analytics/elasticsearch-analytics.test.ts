import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { defineSearches, monthOf } from '../../../src/domain/analytics/elasticsearch/definition.ts';
import { ElasticsearchAnalytics } from '../../../src/domain/analytics/elasticsearch/elasticsearch-analytics.ts';
import type { SearchRecord } from '../../../src/domain/analytics/types.ts';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';
import { useDatabase } from '../../services/database.ts';
import { connectTo, elasticsearchUrl, useElasticsearch } from '../../services/elasticsearch.ts';
import { AnalyticsWorld, clickOn, elasticsearchStore, recordOf, retentionMs } from './analytics-world.ts';

const dayMs = 86_400_000;
const thrownBy = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
/** With all that a log would show of it. */
const textOf = (error: unknown): string =>
  error instanceof Error
    ? `${error.stack} ${JSON.stringify(error, Object.getOwnPropertyNames(error))} ${textOf(error.cause)}`
    : '';

/** The server of the run behind one that may lose the answer to a write. */
const serveLossily = async () => {
  let isLosing = false;
  let lost = 0;
  const pass = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const body = await buffer(request);
    const { method = 'GET', url = '/' } = request;
    const { accept = '*/*', 'content-type': sent } = request.headers;
    const headers = { accept, ...(sent === undefined ? {} : { 'content-type': sent }) };
    const answer = await fetch(new URL(url, elasticsearchUrl), {
      method,
      headers,
      ...(body.length > 0 ? { body } : {}),
    });
    const text = await answer.text();
    if (isLosing && url.startsWith('/_bulk')) {
      [isLosing, lost] = [false, lost + 1];
      request.socket.destroy();
      return;
    }
    const type = answer.headers.get('content-type') ?? 'application/json';
    response.writeHead(answer.status, { 'content-type': type, 'x-elastic-product': 'Elasticsearch' });
    response.end(text);
  };
  const server = http.createServer((request, response) => void pass(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    loseNextWrite: () => {
      isLosing = true;
    },
    lost: () => lost,
    close: () => server.close(),
  };
};

describe.skipIf(elasticsearchUrl === '')('[elasticsearch] searches', () => {
  const database = useDatabase();
  const server = useElasticsearch();
  const { elasticsearch, prefix } = server;
  const world = new AnalyticsWorld(database, elasticsearchStore(database, server));
  const { alias, indexOf } = defineSearches(prefix);
  const range = {
    firstDay: new Date(Date.now() - 360 * dayMs).toISOString().slice(0, 10),
    lastDay: new Date(Date.now() + dayMs).toISOString().slice(0, 10),
  };
  const indices = async (): Promise<readonly string[]> =>
    Object.keys(await elasticsearch.call((client, options) => client.indices.get({ index: `${alias}*` }, options)));
  const clicked = (search: SearchRecord) => ({
    workspaceId: search.workspaceId,
    searchId: search.searchId,
    documentId: uuidV7(),
    position: 1,
    clickedAt: new Date(),
  });

  test('lie in an index a month behind one alias, which starts at the same time make once', async () => {
    const stores = Array.from({ length: 5 }, () => world.store.make());
    const ws = await world.workspace();
    const at = new Date(Date.now() - 40 * dayMs);
    await Promise.all(stores.map((store) => store.record([recordOf(ws), recordOf(ws, { timestamp: at })])));
    expect(await indices()).toHaveLength(2);
    expect(await world.store.kept(ws)).toBe(10);
    const again = new ElasticsearchAnalytics({ elasticsearch, postgres: database.postgres, prefix, retentionMs });
    await Promise.all([again.initialize(), again.initialize()]);
    expect(await indices()).toHaveLength(2);
  });

  test('have the fields that are defined, and no other', async () => {
    const ws = await world.workspace();
    const store = world.store.make();
    const filters = { tags: ['a'], colour: 'red' };
    expect(await store.record([recordOf(ws, { filters }), recordOf(ws)])).toEqual({ refused: 1 });
    const [index = ''] = await indices();
    const { [index]: found } = await elasticsearch.call((client, options) =>
      client.indices.getMapping({ index }, options),
    );
    expect(found?.mappings).toMatchObject({
      dynamic: 'strict',
      properties: { workspace_id: { type: 'keyword' }, normalized_query: { type: 'keyword' } },
    });
    expect(await world.store.kept(ws)).toBe(1);
  });

  test('go by the month when all of them are past their retention', async () => {
    const ws = await world.workspace();
    const store = world.store.make();
    const [old, kept] = [400 * dayMs, retentionMs - dayMs].map((age) => new Date(Date.now() - age));
    await store.record([
      recordOf(ws),
      recordOf(ws, { timestamp: kept ?? new Date() }),
      recordOf(ws, { timestamp: old ?? new Date() }),
    ]);
    expect(await world.store.kept(ws)).toBe(3);
    const before = await indices();
    expect(await store.closeDays(AbortSignal.timeout(30_000))).toBe(0);
    expect(await world.store.kept(ws)).toBe(2);
    expect(await indices()).toHaveLength(before.length - 1);
    // Nor does it stay away from who had made it.
    expect(await store.record([recordOf(ws, { timestamp: old ?? new Date() })])).toEqual({ refused: 0 });
    expect(await world.store.kept(ws)).toBe(3);
    await store.closeDays(AbortSignal.timeout(30_000));
    expect(await world.store.kept(ws)).toBe(2);
  });

  test('of deleted workspaces are deleted, and of no other', async () => {
    const [ws, gone] = [await world.workspace(), await world.workspace()];
    const store = world.store.make();
    await store.record([recordOf(ws), ...Array.from({ length: 1_200 }, () => recordOf(gone))]);
    await store.closeDays(AbortSignal.timeout(30_000));
    expect(await world.store.kept(gone)).toBe(1_200);
    await world.deleteWorkspace(gone);
    await store.closeDays(AbortSignal.timeout(30_000));
    expect(await world.store.kept(gone)).toBe(0);
    expect(await world.store.kept(ws)).toBe(1);
  });

  test('are kept again after somebody deleted their indices: nothing else makes one', async () => {
    const ws = await world.workspace();
    const store = world.store.make();
    const search = recordOf(ws);
    await store.record([search]);
    const names = await indices();
    await elasticsearch.call((client, options) => client.indices.delete({ index: [...names] }, options));
    expect(await thrownBy(store.record([search]))).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    expect(await indices()).toEqual([]);
    expect(await store.record([search])).toEqual({ refused: 0 });
    expect(await indices()).toEqual([indexOf(monthOf(search.timestamp))]);
    expect((await store.trends(ws.id, range)).searches).toBe(1);
  });

  test('and their clicks are counted right after a write whose answer got lost', async () => {
    const ws = await world.workspace();
    const lossy = await serveLossily();
    const way = connectTo({ url: lossy.url });
    const store = new ElasticsearchAnalytics({ elasticsearch: way, postgres: database.postgres, prefix, retentionMs });
    const searches = Array.from({ length: 20 }, () => recordOf(ws));
    const clicks = searches.map(clicked);
    try {
      for (const write of [() => store.record(searches), () => store.click(clicks)]) {
        lossy.loseNextWrite();
        expect(await thrownBy(write())).toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR' });
        await write();
      }
      expect(lossy.lost()).toBe(2);
      expect(await store.trends(ws.id, range)).toMatchObject({ searches: 20, clicks: 20, clickThroughRate: 1 });
    } finally {
      await way.close();
      lossy.close();
    }
  });

  test('reject while Elasticsearch is away or full, with errors that quote none of them', async () => {
    const ws = await world.workspace();
    const secret = 'unspeakable looms';
    const search = recordOf(ws, { query: secret });
    const way = connectTo({ url: 'http://127.0.0.1:9' });
    try {
      const away = new ElasticsearchAnalytics({ elasticsearch: way, postgres: database.postgres, prefix, retentionMs });
      for (const method of [
        () => away.record([search]),
        () => away.click([clicked(search)]),
        () => away.trends(ws.id, range),
        () => away.closeDays(AbortSignal.timeout(30_000)),
      ]) {
        const error = await thrownBy(method());
        expect(error).toBeInstanceOf(AppError);
        expect(error).toMatchObject({ code: 'EXTERNAL_SERVICE_ERROR', retryable: true });
        expect(textOf(error)).not.toContain(secret);
      }
    } finally {
      await way.close();
    }
    const store = world.store.make();
    await store.record([]);
    const block = (write: boolean) =>
      elasticsearch.call((client, options) =>
        client.indices.putSettings({ index: alias, settings: { 'index.blocks.write': write } }, options),
      );
    await block(true);
    try {
      const error = await thrownBy(store.record([search]));
      expect(error).toBeInstanceOf(AppError);
      expect(textOf(error)).not.toContain(secret);
    } finally {
      await block(false);
    }
    expect(await store.record([search])).toEqual({ refused: 0 });
    expect(await store.click([{ ...clickOn(ws, search), clickedAt: new Date() }])).toEqual([]);
    expect(await store.trends(ws.id, range)).toMatchObject({ searches: 1, clicks: 1 });
  });
});
