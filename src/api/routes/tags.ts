import { z } from 'zod';
import { createTagInput, updateTagInput } from '../../domain/knowledge/input.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import { actorOf } from '../access/principal-of.ts';
import { needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { etagOf, ifMatchHeaders, versionOf } from '../schemas/if-match.ts';
import { popularTag, tag, tagParams } from '../schemas/knowledge.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { inWorkspace } from '../schemas/workspace.ts';

const addListAndCreate = (app: Api, { platform }: RouteParts): void => {
  const { tags, workspaces } = platform;
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
    handler: async (request) => tags.findMany((await workspaceOf(request, workspaces)).id, request.query),
  });
  app.route({
    method: 'POST',
    url: '/v1/workspaces/:ws/tags',
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Make a tag',
      description: 'Writing a document makes the tags it names: this is for tags that no document has yet.',
      params: inWorkspace,
      body: createTagInput,
      response: { 201: tag },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceOf(request, workspaces);
      const created = await tags.create(id, request.body, { actor: actorOf(request) });
      return reply
        .code(201)
        .header('location', `/v1/workspaces/${id}/tags/${created.id}`)
        .header('etag', etagOf(created.revision))
        .send(created);
    },
  });
};

const addPopular = (app: Api, { platform }: RouteParts): void => {
  const { tags, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/tags/popular',
    config: needsInWorkspace('knowledge:read'),
    schema: {
      tags: ['knowledge'],
      summary: 'The tags of most documents',
      params: inWorkspace,
      querystring: z.strictObject({ limit: z.coerce.number().int().min(1).max(100).default(20) }),
      response: { 200: z.object({ items: z.array(popularTag).readonly() }) },
    },
    handler: async (request) => {
      const { id } = await workspaceOf(request, workspaces);
      return { items: await tags.popular(id, request.query.limit) };
    },
  });
};

const addOne = (app: Api, { platform }: RouteParts): void => {
  const { tags, workspaces } = platform;
  const url = '/v1/workspaces/:ws/tags/:id';
  app.route({
    method: 'GET',
    url,
    config: needsInWorkspace('knowledge:read'),
    schema: { tags: ['knowledge'], summary: 'One tag', params: tagParams, response: { 200: tag } },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      const found = await tags.findById(workspace.id, request.params.id);
      if (!found) throw notFound('tag', request.params.id);
      return reply.header('etag', etagOf(found.revision)).send(found);
    },
  });
  app.route({
    method: 'PATCH',
    url,
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Rename a tag on all documents that carry it',
      params: tagParams,
      headers: ifMatchHeaders,
      body: updateTagInput,
      response: { 200: tag },
    },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      const updated = await tags.update(workspace.id, request.params.id, request.body, {
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
      summary: 'Delete a tag',
      description: 'The documents that carry it stay, each with a new version without it.',
      params: tagParams,
      headers: ifMatchHeaders,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      await tags.delete(workspace.id, request.params.id, {
        actor: actorOf(request),
        expectedRevision: versionOf(request.headers['if-match']),
      });
      return reply.code(204).send(null);
    },
  });
};

/** Tags of a workspace. */
export const addTagRoutes = (app: Api, parts: RouteParts): void => {
  addListAndCreate(app, parts);
  addPopular(app, parts);
  addOne(app, parts);
};
