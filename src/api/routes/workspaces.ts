import { z } from 'zod';
import { createWorkspaceInput, updateWorkspaceInput } from '../../domain/workspaces/input.ts';
import { needs, needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { etagOf, ifMatchHeaders, versionOf } from '../schemas/if-match.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { inWorkspace, workspace } from '../schemas/workspace.ts';

const addCollectionRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/workspaces',
    config: needs('workspaces:read'),
    schema: {
      tags: ['workspaces'],
      summary: 'List workspaces by name',
      querystring: z.strictObject(pageQuery),
      response: { 200: pageOf(workspace) },
    },
    handler: (request) => platform.workspaces.findMany(request.query),
  });
  app.route({
    method: 'POST',
    url: '/v1/workspaces',
    config: needs('workspaces:write'),
    schema: {
      tags: ['workspaces'],
      summary: 'Make a workspace',
      body: createWorkspaceInput,
      response: { 201: workspace },
    },
    handler: async (request, reply) => {
      const created = await platform.workspaces.create(request.body);
      return reply
        .code(201)
        .header('location', `/v1/workspaces/${created.id}`)
        .header('etag', etagOf(created.revision))
        .send(created);
    },
  });
};

/** Workspaces: everything that an app writes belongs to one. */
export const addWorkspaceRoutes = (app: Api, parts: RouteParts): void => {
  const { workspaces } = parts.platform;
  addCollectionRoutes(app, parts);
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws',
    config: needsInWorkspace('workspaces:read'),
    schema: { tags: ['workspaces'], summary: 'One workspace', params: inWorkspace, response: { 200: workspace } },
    handler: async (request, reply) => {
      const found = await workspaceOf(request, workspaces);
      return reply.header('etag', etagOf(found.revision)).send(found);
    },
  });
  app.route({
    method: 'PATCH',
    url: '/v1/workspaces/:ws',
    config: needsInWorkspace('workspaces:write'),
    schema: {
      tags: ['workspaces'],
      summary: 'Change the given fields of a workspace',
      params: inWorkspace,
      headers: ifMatchHeaders,
      body: updateWorkspaceInput,
      response: { 200: workspace },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceOf(request, workspaces);
      const expectedRevision = versionOf(request.headers['if-match']);
      const updated = await workspaces.update(id, request.body, { expectedRevision });
      return reply.header('etag', etagOf(updated.revision)).send(updated);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/workspaces/:ws',
    config: needsInWorkspace('workspaces:write'),
    schema: {
      tags: ['workspaces'],
      summary: 'Delete a workspace with everything in it',
      params: inWorkspace,
      headers: ifMatchHeaders,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceOf(request, workspaces);
      await workspaces.delete(id, { expectedRevision: versionOf(request.headers['if-match']) });
      return reply.code(204).send(null);
    },
  });
};
