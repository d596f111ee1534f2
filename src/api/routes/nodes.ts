import { z } from 'zod';
import type { FeatureType, NodeReference } from '../../domain/nodes/types.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import { actorOf } from '../access/principal-of.ts';
import { needsWorkspaceAsked } from '../access/route-access.ts';
import { workspaceAsked } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { etagOf, ifMatchHeaders, versionOf } from '../schemas/if-match.ts';
import {
  asked,
  batchBody,
  connectedNode,
  createNodeBody,
  elementParams,
  entityParams,
  featureParams,
  inAskedWorkspace,
  link,
  node,
  nodeEvent,
  nodeSummary,
  updateNodeBody,
} from '../schemas/node.ts';
import { pageOf, pageQuery, wholeList, wholeListOf } from '../schemas/page.ts';

const tags = ['nodes'];
const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

const addListAndCreate = (app: Api, { platform }: RouteParts): void => {
  const { nodes, nodeQueries, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/nodes/:feature',
    config: needsWorkspaceAsked('nodes:read'),
    schema: {
      tags,
      summary: 'List the entities of a feature, latest change first',
      params: featureParams,
      querystring: z.strictObject({
        ...asked,
        ...pageQuery,
        status: z.string().max(20).optional(),
        tag: z.string().max(100).optional(),
      }),
      response: { 200: pageOf(nodeSummary) },
    },
    handler: async (request) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { workspace: _, ...query } = request.query;
      return nodeQueries.list(id, request.params.feature, query);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/nodes/:feature',
    config: needsWorkspaceAsked('nodes:write'),
    schema: {
      tags,
      summary: 'Make an entity, or an element of one',
      description: 'With `entityId` and `nodeId` it makes an element of that entity.',
      params: featureParams,
      querystring: inAskedWorkspace,
      body: createNodeBody,
      response: { 201: node },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { changeSummary, ...input } = request.body;
      const change = { actor: actorOf(request), changeSummary };
      const created = await nodes.createNode(id, { ...input, featureType: request.params.feature }, change);
      return reply.code(201).header('etag', etagOf(created.revision)).send(created);
    },
  });
};

const addBatch = (app: Api, { platform }: RouteParts): void => {
  const { nodes, workspaces } = platform;
  app.route({
    method: 'POST',
    url: '/v1/nodes/batch',
    config: needsWorkspaceAsked('nodes:write'),
    schema: {
      tags,
      summary: 'Make, change and delete entities, all or none',
      querystring: inAskedWorkspace,
      body: batchBody,
      response: {
        200: z.object({ created: z.array(node).readonly(), updated: z.array(node).readonly(), deleted: z.number() }),
      },
    },
    handler: async (request) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { changeSummary, ...batch } = request.body;
      return nodes.applyBatch(id, batch, { actor: actorOf(request), changeSummary });
    },
  });
};

interface NodeParams {
  readonly feature: FeatureType;
  readonly entityId: string;
  readonly nodeId?: string | undefined;
}

const referenceOf = ({ feature, ...rest }: NodeParams): NodeReference => ({ featureType: feature, ...rest });

/** Reading and changing are the same for an entity and an element. */
interface OneNode {
  readonly url: string;
  readonly params: z.ZodType<NodeParams>;
  readonly what: string;
}

const addRead = (app: Api, { platform }: RouteParts, { url, params, what }: OneNode): void => {
  const { nodes, workspaces } = platform;
  app.route({
    method: 'GET',
    url,
    config: needsWorkspaceAsked('nodes:read'),
    schema: { tags, summary: `One ${what}`, params, querystring: inAskedWorkspace, response: { 200: node } },
    handler: async (request, reply) => {
      const { id } = await workspaceAsked(request, workspaces);
      const reference = referenceOf(request.params);
      const found = await nodes.getNode(id, reference);
      if (!found)
        throw notFound(
          reference.nodeId === undefined ? reference.featureType : 'node',
          reference.nodeId ?? reference.entityId,
        );
      return reply.header('etag', etagOf(found.revision)).send(found);
    },
  });
};

const addChange = (app: Api, { platform }: RouteParts, { url, params, what }: OneNode): void => {
  const { nodes, workspaces } = platform;
  app.route({
    method: 'PATCH',
    url,
    config: needsWorkspaceAsked('nodes:write'),
    schema: {
      tags,
      summary: `Change the given fields of an ${what}`,
      params,
      querystring: inAskedWorkspace,
      headers: ifMatchHeaders,
      body: updateNodeBody,
      response: { 200: node },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { changeSummary, ...updates } = request.body;
      const updated = await nodes.updateNode(id, referenceOf(request.params), updates, {
        actor: actorOf(request),
        changeSummary,
        expectedRevision: versionOf(request.headers['if-match']),
      });
      return reply.header('etag', etagOf(updated.revision)).send(updated);
    },
  });
  app.route({
    method: 'DELETE',
    url,
    config: needsWorkspaceAsked('nodes:write'),
    schema: {
      tags,
      summary: `Delete an ${what} with its links`,
      params,
      querystring: inAskedWorkspace,
      headers: ifMatchHeaders,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const { id } = await workspaceAsked(request, workspaces);
      await nodes.deleteNode(id, referenceOf(request.params), {
        actor: actorOf(request),
        expectedRevision: versionOf(request.headers['if-match']),
      });
      return reply.code(204).send(null);
    },
  });
};

const addAround = (app: Api, { platform }: RouteParts): void => {
  const { nodes, nodeLinks, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/nodes/:feature/:entityId/links',
    config: needsWorkspaceAsked('nodes:read'),
    schema: {
      tags,
      summary: 'Links from and to an entity and its elements, latest first',
      params: entityParams,
      querystring: z.strictObject({ ...asked, nodeId: z.string().min(1).max(255).optional() }),
      response: { 200: wholeListOf(link) },
    },
    handler: async (request) => {
      const { id } = await workspaceAsked(request, workspaces);
      const reference = referenceOf({ ...request.params, nodeId: request.query.nodeId });
      return wholeList(await nodeLinks.getNodeLinks(id, reference));
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/nodes/:feature/:entityId/connected',
    config: needsWorkspaceAsked('nodes:read'),
    schema: {
      tags,
      summary: 'What links lead to, nearest first',
      params: entityParams,
      querystring: z.strictObject({
        ...asked,
        depth: z.coerce.number().int().min(1).max(10).default(1),
        limit: z.coerce.number().int().min(1).max(1_000).default(100),
        direction: z.enum(['both', 'out', 'in']).default('both'),
        linkType: z.string().max(50).optional(),
      }),
      response: { 200: wholeListOf(connectedNode) },
    },
    handler: async (request) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { depth, limit, direction, linkType } = request.query;
      const how = { depth, limit, direction, ...(linkType === undefined ? {} : { linkTypes: [linkType] }) };
      return wholeList(await nodes.getConnectedNodes(id, referenceOf(request.params), how));
    },
  });
};

const addHistory = (app: Api, { platform }: RouteParts): void => {
  const { nodes, nodeQueries, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/nodes/:feature/:entityId/events',
    config: needsWorkspaceAsked('nodes:read'),
    schema: {
      tags,
      summary: 'The changes of an entity, latest first; with `asOf` also what it was then',
      params: entityParams,
      querystring: z.strictObject({ ...asked, ...pageQuery, asOf: time.optional() }),
      response: { 200: pageOf(nodeEvent).extend({ state: node.nullable().optional() }) },
    },
    handler: async (request) => {
      const { id } = await workspaceAsked(request, workspaces);
      const { limit, cursor, asOf } = request.query;
      const reference = referenceOf(request.params);
      const page = await nodeQueries.events(id, reference, { limit, cursor });
      if (asOf === undefined) return page;
      return { ...page, state: (await nodes.getNodeAsOf(id, reference, asOf)) ?? null };
    },
  });
};

const entity: OneNode = { url: '/v1/nodes/:feature/:entityId', params: entityParams, what: 'entity' };
const element: OneNode = {
  url: '/v1/nodes/:feature/:entityId/elements/:nodeId',
  params: elementParams,
  what: 'element',
};

/** Entities of the four features, and their elements. */
export const addNodeRoutes = (app: Api, parts: RouteParts): void => {
  for (const add of [addListAndCreate, addBatch, addAround, addHistory]) add(app, parts);
  for (const one of [entity, element]) {
    addRead(app, parts, one);
    addChange(app, parts, one);
  }
};
