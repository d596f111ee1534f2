import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { missingWorkspaces } from './missing-workspaces.ts';
import { writeBulk } from './write-bulk.ts';

const pageSize = 1_000;

interface Parts {
  readonly elasticsearch: Elasticsearch;
  readonly db: Queryable;
  readonly alias: string;
}

const workspacesShape = z.object({
  aggregations: z.object({
    workspaces: z.object({
      buckets: z
        .array(z.object({ key: z.object({ id: z.string() }) }))
        .transform((all) => all.map(({ key }) => key.id)),
    }),
  }),
});
const hitsShape = z.object({ hits: z.object({ hits: z.array(z.object({ _index: z.string(), _id: z.string() })) }) });

/** The workspaces that have searches, in pages. */
async function* workspaces({ elasticsearch, alias }: Parts, signal: AbortSignal): AsyncGenerator<readonly string[]> {
  let after: string | undefined;
  do {
    const answer = await elasticsearch.call(
      (client, options) =>
        client.search(
          {
            index: alias,
            size: 0,
            allow_partial_search_results: false,
            aggs: {
              workspaces: {
                composite: {
                  size: pageSize,
                  sources: [{ id: { terms: { field: 'workspace_id' } } }],
                  ...(after === undefined ? {} : { after: { id: after } }),
                },
              },
            },
          },
          options,
        ),
      { signal },
    );
    const page: readonly string[] = workspacesShape.parse(answer).aggregations.workspaces.buckets;
    after = page.at(-1);
    yield page;
  } while (after !== undefined);
}

const deleteOf = async (
  { elasticsearch, alias }: Parts,
  workspaceIds: readonly string[],
  signal: AbortSignal,
): Promise<void> => {
  for (;;) {
    const answer = await elasticsearch.call(
      (client, options) =>
        client.search(
          {
            index: alias,
            size: pageSize,
            query: { terms: { workspace_id: [...workspaceIds] } },
            _source: false,
            allow_partial_search_results: false,
          },
          options,
        ),
      { signal },
    );
    const { hits } = hitsShape.parse(answer).hits;
    if (hits.length === 0) return;
    await writeBulk(
      elasticsearch,
      hits.map(({ _index: index, _id: id }) => ({ action: 'delete', index, id })),
      signal,
    );
    await elasticsearch.call((client, options) => client.indices.refresh({ index: alias }, options), { signal });
  }
};

/** Deletes the searches of workspaces that are not in Postgres any more. May be stopped at any step and run again. */
export const deleteOrphans = async (parts: Parts, signal: AbortSignal): Promise<void> => {
  for await (const page of workspaces(parts, signal)) {
    const gone = await missingWorkspaces(parts.db, page);
    if (gone.length > 0) await deleteOf(parts, gone, signal);
  }
};
