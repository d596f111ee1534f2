import { z } from 'zod';
import { createCollectionInput } from '../../domain/knowledge/input.ts';
import { needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { collection, tag } from '../schemas/knowledge.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { inWorkspace } from '../schemas/workspace.ts';

/** What the documents of a workspace are sorted by. */
export const addTagAndCollectionRoutes = (app: Api, { platform }: RouteParts): void => {
  const { knowledge, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/tags',
    config: needsInWorkspace('knowledge:read'),
    schema: {
      tags: ['knowledge'],
      summary: 'List tags by name',
      params: inWorkspace,
      querystring: z.strictObject(pageQuery),
      response: { 200: pageOf(tag) },
    },
    handler: async (request) => knowledge.tags((await workspaceOf(request, workspaces)).id, request.query),
  });
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/collections',
    config: needsInWorkspace('knowledge:read'),
    schema: {
      tags: ['knowledge'],
      summary: 'List collections by name',
      params: inWorkspace,
      querystring: z.strictObject(pageQuery),
      response: { 200: pageOf(collection) },
    },
    handler: async (request) => knowledge.collections((await workspaceOf(request, workspaces)).id, request.query),
  });
  app.route({
    method: 'POST',
    url: '/v1/workspaces/:ws/collections',
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Make a collection',
      params: inWorkspace,
      body: createCollectionInput,
      response: { 201: collection },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceOf(request, workspaces);
      return reply.code(201).send(await knowledge.createCollection(id, request.body));
    },
  });
};
