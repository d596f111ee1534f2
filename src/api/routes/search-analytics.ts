import { z } from 'zod';
import { needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { clickBody, searchTrends, trendsQuery } from '../schemas/search-analytics.ts';
import { inWorkspace } from '../schemas/workspace.ts';

/** What is opened of what was found, and what is searched for. */
export const addSearchAnalyticsRoutes = (app: Api, { platform }: RouteParts): void => {
  const { searchAnalytics, workspaces } = platform;
  app.route({
    method: 'POST',
    url: '/v1/workspaces/:ws/search/clicks',
    config: needsInWorkspace('search:read'),
    schema: {
      tags: ['search'],
      summary: 'Tell that a hit was opened',
      description:
        'Answers 204 whether there is such a search or not, and is written a moment later. Of several clicks on one document the first counts.',
      params: inWorkspace,
      body: clickBody,
      response: { 204: z.null().describe('Taken') },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceOf(request, workspaces);
      searchAnalytics.recordClick({ workspaceId: id, ...request.body });
      return reply.code(204).send(null);
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/search/trends',
    config: needsInWorkspace('analytics:read'),
    schema: {
      tags: ['search'],
      summary: 'What is searched for, found and opened, by day',
      params: inWorkspace,
      querystring: trendsQuery,
      response: { 200: searchTrends },
    },
    handler: async (request) => searchAnalytics.getSearchTrends(await workspaceOf(request, workspaces), request.query),
  });
};
