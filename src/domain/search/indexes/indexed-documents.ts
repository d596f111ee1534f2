import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { indexId } from './index-document.ts';
import type { DocumentKey } from './index-source.ts';

/** A document as an index has it. */
export interface IndexedDocument extends DocumentKey {
  readonly hash: string;
  readonly isDeleted: boolean;
}

const pageSize = 1_000;
const keepAlive = '2m';

const sourceShape = z.object({
  id: z.string(),
  workspace_id: z.string().default(''),
  content_hash: z.string().default(''),
  deleted_at: z.number().or(z.string()).optional(),
});
const answer = z.object({
  pit_id: z.string().optional(),
  hits: z.object({
    hits: z.array(
      z.object({
        _source: sourceShape,
        // Null in an index without workspaces.
        sort: z.array(z.union([z.string(), z.number(), z.null()])),
      }),
    ),
  }),
});

/**
 * All documents of an index in the order of their keys, tombstones too, a page at a time; only those behind `after`. What is
 * written meanwhile is not seen.
 */
async function* indexedDocuments(
  elasticsearch: Elasticsearch,
  index: string,
  signal: AbortSignal,
  after?: DocumentKey,
): AsyncGenerator<readonly IndexedDocument[]> {
  // What was written a moment ago is seen.
  await elasticsearch.call((client, options) => client.indices.refresh({ index }, options), { signal });
  const { id } = await elasticsearch.call(
    (client, options) => client.openPointInTime({ index, keep_alive: keepAlive }, options),
    { signal },
  );
  let pit = id;
  try {
    let searchAfter: (string | number | null)[] | undefined = after && [after.workspaceId, after.id];
    for (;;) {
      const page = await elasticsearch.call(
        (client, options) =>
          client.search(
            {
              pit: { id: pit, keep_alive: keepAlive },
              size: pageSize,
              sort: [{ workspace_id: { order: 'asc', missing: '_first' } }, { id: 'asc' }],
              track_total_hits: false,
              _source: ['id', 'workspace_id', 'content_hash', 'deleted_at'],
              ...(searchAfter ? { search_after: searchAfter } : {}),
            },
            options,
          ),
        { signal },
      );
      const parsed = answer.parse(page);
      pit = parsed.pit_id ?? pit;
      const { hits } = parsed.hits;
      if (hits.length === 0) return;
      yield hits.map(({ _source: source }) => ({
        workspaceId: source.workspace_id,
        id: source.id,
        hash: source.content_hash,
        isDeleted: source.deleted_at !== undefined,
      }));
      searchAfter = hits.at(-1)?.sort;
    }
  } finally {
    await elasticsearch
      .call((client, options) => client.closePointInTime({ id: pit }, { ...options, ignore: [404] }))
      .catch(() => undefined);
  }
}

const foundShape = z.object({
  docs: z.array(
    z.object({ found: z.boolean().default(false), _id: z.string(), _source: sourceShape.partial().optional() }),
  ),
});

/** The hashes of documents in an index, by their ids there; of those that are not there, or are deleted, none. What was just written is seen. */
export const indexedHashes = async (
  elasticsearch: Elasticsearch,
  index: string,
  keys: readonly DocumentKey[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> => {
  if (keys.length === 0) return new Map();
  const asked = await elasticsearch.call(
    (client, options) =>
      client.mget({ index, ids: keys.map(indexId), _source: ['content_hash', 'deleted_at'] }, options),
    { signal },
  );
  return new Map(
    foundShape
      .parse(asked)
      .docs.flatMap(({ found, _id: id, _source: source }): [string, string][] =>
        found && source && source.deleted_at === undefined ? [[id, source.content_hash ?? '']] : [],
      ),
  );
};

const wholeShape = z.object({
  docs: z.array(z.object({ _id: z.string(), _source: z.record(z.string(), z.unknown()).optional() })),
});

/** What an index keeps of documents, by their ids there. */
export const indexedSources = async (
  elasticsearch: Elasticsearch,
  index: string,
  keys: readonly DocumentKey[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>> => {
  if (keys.length === 0) return new Map();
  const asked = await elasticsearch.call((client, options) => client.mget({ index, ids: keys.map(indexId) }, options), {
    signal,
  });
  return new Map(
    wholeShape.parse(asked).docs.flatMap(({ _id: id, _source: source }) => (source ? [[id, source]] : [])),
  );
};

/** The keys of all documents of an index that are not deleted. */
export async function* indexedKeys(
  elasticsearch: Elasticsearch,
  index: string,
  signal: AbortSignal,
): AsyncGenerator<readonly DocumentKey[]> {
  for await (const page of indexedDocuments(elasticsearch, index, signal)) yield page.filter((one) => !one.isDeleted);
}
