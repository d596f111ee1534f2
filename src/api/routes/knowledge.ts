import { z } from 'zod';
import { knowledgeStatuses } from '../../domain/knowledge/types.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import { actorOf } from '../access/principal-of.ts';
import { needsInWorkspace } from '../access/route-access.ts';
import { workspaceOf } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { etagOf, ifMatchHeaders, versionOf } from '../schemas/if-match.ts';
import {
  createDocumentBody,
  document,
  documentParams,
  documentVersion,
  updateDocumentBody,
} from '../schemas/knowledge.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { inWorkspace } from '../schemas/workspace.ts';

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const oneOrMore = z.union([
  z
    .string()
    .max(100)
    .transform((name) => [name]),
  z.array(z.string().max(100)).max(20),
]);

const listQuery = z.strictObject({
  ...pageQuery,
  status: z.enum(knowledgeStatuses).optional(),
  authorId: z.guid().optional(),
  collectionId: z.guid().optional(),
  tag: oneOrMore.optional().describe('Documents that carry it; several times: all of them'),
  sourceId: z.string().max(500).optional(),
  updatedFrom: time.optional(),
  updatedTo: time.optional(),
});

const addListAndCreate = (app: Api, { platform }: RouteParts): void => {
  const { knowledge, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/knowledge',
    config: needsInWorkspace('knowledge:read'),
    schema: {
      tags: ['knowledge'],
      summary: 'List documents, latest change first',
      params: inWorkspace,
      querystring: listQuery,
      response: { 200: pageOf(document) },
    },
    handler: async (request) => {
      const { id } = await workspaceOf(request, workspaces);
      const { tag: tags, ...query } = request.query;
      return knowledge.findByWorkspace(id, { ...query, tags });
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/workspaces/:ws/knowledge',
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Write a document',
      description: 'Its version, its event and the job that embeds it are written in the same transaction.',
      params: inWorkspace,
      body: createDocumentBody,
      response: { 201: document },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceOf(request, workspaces);
      const { changeSummary, ...input } = request.body;
      const created = await knowledge.create(id, input, { actor: actorOf(request), changeSummary });
      return reply
        .code(201)
        .header('location', `/v1/workspaces/${id}/knowledge/${created.id}`)
        .header('etag', etagOf(created.version))
        .send(created);
    },
  });
};

const addRead = (app: Api, { platform }: RouteParts): void => {
  const { knowledge, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/knowledge/:id',
    config: needsInWorkspace('knowledge:read'),
    schema: { tags: ['knowledge'], summary: 'One document', params: documentParams, response: { 200: document } },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      const found = await knowledge.findById(workspace.id, request.params.id);
      if (!found) throw notFound('knowledge', request.params.id);
      return reply.header('etag', etagOf(found.version)).send(found);
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/workspaces/:ws/knowledge/:id/versions',
    config: needsInWorkspace('knowledge:read'),
    schema: {
      tags: ['knowledge'],
      summary: "A document's history, latest version first",
      params: documentParams,
      querystring: z.strictObject(pageQuery),
      response: { 200: pageOf(documentVersion) },
    },
    handler: async (request) => {
      const workspace = await workspaceOf(request, workspaces);
      return knowledge.versions(workspace.id, request.params.id, request.query);
    },
  });
};

const addChange = (app: Api, { platform }: RouteParts): void => {
  const { knowledge, workspaces } = platform;
  app.route({
    method: 'PATCH',
    url: '/v1/workspaces/:ws/knowledge/:id',
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Change the given fields of a document',
      params: documentParams,
      headers: ifMatchHeaders,
      body: updateDocumentBody,
      response: { 200: document },
    },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      const { changeSummary, ...patch } = request.body;
      const updated = await knowledge.update(workspace.id, request.params.id, patch, {
        actor: actorOf(request),
        changeSummary,
        expectedVersion: versionOf(request.headers['if-match']),
      });
      return reply.header('etag', etagOf(updated.version)).send(updated);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/workspaces/:ws/knowledge/:id',
    config: needsInWorkspace('knowledge:write'),
    schema: {
      tags: ['knowledge'],
      summary: 'Delete a document',
      params: documentParams,
      headers: ifMatchHeaders,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const workspace = await workspaceOf(request, workspaces);
      await knowledge.delete(workspace.id, request.params.id, {
        actor: actorOf(request),
        expectedVersion: versionOf(request.headers['if-match']),
      });
      return reply.code(204).send(null);
    },
  });
};

/** Documents of a workspace. */
export const addKnowledgeRoutes = (app: Api, parts: RouteParts): void => {
  addListAndCreate(app, parts);
  addRead(app, parts);
  addChange(app, parts);
};
