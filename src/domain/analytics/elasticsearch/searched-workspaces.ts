import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';

const mostWorkspaces = 10_000;

const answerShape = z.object({
  aggregations: z.object({ workspaces: z.object({ buckets: z.array(z.object({ key: z.string() })) }) }),
});

/** The workspaces with searches since then; of more than 10,000 those with most. */
export const searchedWorkspaces = async (
  elasticsearch: Elasticsearch,
  index: string,
  since: Date,
): Promise<readonly string[]> => {
  const answer = await elasticsearch.call((client, options) =>
    client.search(
      {
        index,
        size: 0,
        query: { range: { timestamp: { gte: since.toISOString() } } },
        aggs: { workspaces: { terms: { field: 'workspace_id', size: mostWorkspaces } } },
      },
      options,
    ),
  );
  return answerShape.parse(answer).aggregations.workspaces.buckets.map(({ key }) => key);
};
