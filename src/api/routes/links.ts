import { z } from 'zod';
import { featureType } from '../../domain/nodes/input.ts';
import { actorOf } from '../access/principal-of.ts';
import { needsWorkspaceAsked } from '../access/route-access.ts';
import { workspaceAsked } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { asked, createLinkBody, inAskedWorkspace, link, linkType } from '../schemas/node.ts';
import { wholeList, wholeListOf } from '../schemas/page.ts';

const tags = ['nodes'];

const addRead = (app: Api, { platform }: RouteParts): void => {
  const { nodeLinks, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/links',
    config: needsWorkspaceAsked('nodes:read'),
    schema: {
      tags,
      summary: 'Links from and to a node, latest first; of an entity also those of its elements',
      querystring: z.strictObject({
        ...asked,
        featureType,
        entityId: z.guid(),
        nodeId: z.string().min(1).max(255).optional(),
      }),
      response: { 200: wholeListOf(link) },
    },
    handler: async (request) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { workspace: _, ...reference } = request.query;
      return wholeList(await nodeLinks.getNodeLinks(id, reference));
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/link-types',
    config: needsWorkspaceAsked('nodes:read'),
    schema: {
      tags,
      summary: 'The types of links',
      querystring: inAskedWorkspace,
      response: { 200: wholeListOf(linkType) },
    },
    handler: async () => wholeList(await nodeLinks.linkTypes()),
  });
};

const addChange = (app: Api, { platform }: RouteParts): void => {
  const { nodes, workspaces } = platform;
  app.route({
    method: 'POST',
    url: '/v1/links',
    config: needsWorkspaceAsked('nodes:write'),
    schema: {
      tags,
      summary: 'Link two nodes',
      querystring: inAskedWorkspace,
      body: createLinkBody,
      response: { 201: link },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { changeSummary, ...input } = request.body;
      return reply.code(201).send(await nodes.createLink(id, input, { actor: actorOf(request), changeSummary }));
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/links/:id',
    config: needsWorkspaceAsked('nodes:write'),
    schema: {
      tags,
      summary: 'Remove a link',
      params: z.object({ id: z.guid().describe('The id of a link') }),
      querystring: inAskedWorkspace,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceAsked(request, workspaces);
      await nodes.removeLink(id, request.params.id, { actor: actorOf(request) });
      return reply.code(204).send(null);
    },
  });
};

/** Links between nodes. */
export const addLinkRoutes = (app: Api, parts: RouteParts): void => {
  addRead(app, parts);
  addChange(app, parts);
};
