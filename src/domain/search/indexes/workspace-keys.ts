import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { DocumentKey } from './index-source.ts';

const pageSize = 1_000;
const ids = z.object({ hits: z.object({ hits: z.array(z.object({ _source: z.object({ id: z.string() }) })) }) });

/** The keys of the documents that searches of a workspace find, a page at a time. */
export async function* workspaceKeys(
  elasticsearch: Elasticsearch,
  index: string,
  workspaceId: string,
  signal?: AbortSignal,
): AsyncGenerator<readonly DocumentKey[]> {
  for (let after: string | undefined; ;) {
    const answer = await elasticsearch.call(
      (client, options) =>
        client.search(
          {
            index,
            size: pageSize,
            query: { bool: { filter: [{ term: { workspace_id: workspaceId } }] } },
            sort: [{ id: 'asc' }],
            _source: ['id'],
            ...(after === undefined ? {} : { search_after: [after] }),
          },
          options,
        ),
      { signal },
    );
    const page = ids.parse(answer).hits.hits.map(({ _source: { id } }) => ({ workspaceId, id }));
    after = page.at(-1)?.id;
    if (after === undefined) return;
    yield page;
  }
}
