import { z } from 'zod';
import { actorOf } from '../access/principal-of.ts';
import { needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { searchAnswer, searchBody, suggestions } from '../schemas/search.ts';
import { inWorkspace } from '../schemas/workspace.ts';

/** Finding documents of a workspace by words and by meaning. */
export const addSearchRoutes = (app: Api, { platform }: RouteParts): void => {
  const { search, searchAnalytics, workspaces } = platform;
  app.route({
    method: 'POST',
    url: '/v1/workspaces/:ws/search',
    config: needsInWorkspace('search:read'),
    schema: {
      tags: ['search'],
      summary: 'Search documents',
      params: inWorkspace,
      body: searchBody,
      response: { 200: searchAnswer },
    },
    handler: async (request) => {
      const { id: workspaceId } = await workspaceOf(request, workspaces);
      const userId = actorOf(request);
      const answer = await search.search({ workspaceId, ...request.body });
      const { query, mode, filters, offset, cursor } = request.body;
      // A following page is no other search.
      if (offset === 0 && cursor === undefined) {
        const { searchId, total: resultCount, tookMs: responseTimeMs, backend, degraded } = answer;
        const asked = { workspaceId, userId, query, mode, filters };
        searchAnalytics.trackSearchQuery({ ...asked, searchId, resultCount, responseTimeMs, backend, degraded });
      }
      return answer;
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/suggest',
    config: needsInWorkspace('search:read'),
    schema: {
      tags: ['search'],
      summary: 'Titles and tags that begin like what is typed, or nearly',
      params: inWorkspace,
      querystring: z.strictObject({ q: z.string().describe('Up to 64 characters') }),
      response: { 200: suggestions },
    },
    handler: async (request) => {
      const { id } = await workspaceOf(request, workspaces);
      return search.suggest(id, request.query.q);
    },
  });
};
