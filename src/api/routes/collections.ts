import { z } from 'zod';
import { createCollectionInput, updateCollectionInput } from '../../domain/knowledge/input.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import { actorOf } from '../access/principal-of.ts';
import { needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { etagOf, ifMatchHeaders, versionOf } from '../schemas/if-match.ts';
import { collection, collectionParams } from '../schemas/knowledge.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { inWorkspace } from '../schemas/workspace.ts';

const addListAndCreate = (app: Api, { platform }: RouteParts): void => {
  const { collections, workspaces } = platform;
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
    handler: async (request) => collections.findMany((await workspaceOf(request, workspaces)).id, request.query),
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
      const created = await collections.create(id, request.body, { actor: actorOf(request) });
      return reply
        .code(201)
        .header('location', `/v1/workspaces/${id}/collections/${created.id}`)
        .header('etag', etagOf(created.revision))
        .send(created);
    },
  });
};

const addOne = (app: Api, { platform }: RouteParts): void => {
  const { collections, workspaces } = platform;
  const url = '/v1/workspaces/:ws/collections/:id';
  app.route({
    method: 'GET',
    url,
    config: needsInWorkspace('knowledge:read'),
    schema: { tags: ['knowledge'], summary: 'One collection', params: collectionParams, response: { 200: collection } },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      const found = await collections.findById(workspace.id, request.params.id);
      if (!found) throw notFound('collection', request.params.id);
      return reply.header('etag', etagOf(found.revision)).send(found);
    },
  });
  app.route({
    method: 'PATCH',
    url,
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Change the given fields of a collection',
      params: collectionParams,
      headers: ifMatchHeaders,
      body: updateCollectionInput,
      response: { 200: collection },
    },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      const updated = await collections.update(workspace.id, request.params.id, request.body, {
        actor: actorOf(request),
        expectedRevision: versionOf(request.headers['if-match']),
      });
      return reply.header('etag', etagOf(updated.revision)).send(updated);
    },
  });
  app.route({
    method: 'DELETE',
    url,
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Delete a collection',
      description: 'Its documents stay, each with a new version without it.',
      params: collectionParams,
      headers: ifMatchHeaders,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      await collections.delete(workspace.id, request.params.id, {
        actor: actorOf(request),
        expectedRevision: versionOf(request.headers['if-match']),
      });
      return reply.code(204).send(null);
    },
  });
};

/** Collections of a workspace. */
export const addCollectionRoutes = (app: Api, parts: RouteParts): void => {
  addListAndCreate(app, parts);
  addOne(app, parts);
};
