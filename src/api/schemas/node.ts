import { z } from 'zod';
import { featureType, linkInput, nodeFields, nodeInput, nodePatch } from '../../domain/nodes/input.ts';
import { storableText } from '../../lib/text/storable.ts';
import { workspaceParam } from './workspace.ts';

const changeSummary = storableText(1_000).optional().describe('Kept with the event');
const object = z.record(z.string(), z.unknown());
const position = z.object({ x: z.number(), y: z.number() });
const tags = z.array(z.string()).readonly();

/** In the query of every route on nodes. */
export const asked = { workspace: workspaceParam.optional() };
export const inAskedWorkspace = z.strictObject(asked);

export const featureParams = z.object({ feature: featureType });
export const entityParams = z.object({ feature: featureType, entityId: z.guid().describe('The id of an entity') });
export const elementParams = entityParams.extend({
  nodeId: z.string().min(1).max(255).describe('The id of an element'),
});

export const node = z
  .object({
    featureType,
    entityId: z.string(),
    nodeId: z.string().optional().describe('Of an element; an entity has none'),
    type: z.string(),
    name: z.string(),
    position,
    data: object.describe('What only this feature has'),
    metadata: object,
    revision: z.number().describe('Of the entity, elements included'),
    createdAt: z.date(),
    updatedAt: z.date(),
  })
  .meta({ id: 'Node' });

const summary = {
  featureType,
  entityId: z.string(),
  nodeId: z.string().optional(),
  type: z.string(),
  name: z.string(),
  status: z.string().nullable(),
  position,
  tags,
  revision: z.number().nullable(),
  createdAt: z.date(),
  updatedAt: z.date(),
};
export const nodeSummary = z.object(summary).meta({ id: 'NodeSummary' });
export const connectedNode = z
  .object({ ...summary, depth: z.number().describe('How many links away, at least') })
  .meta({ id: 'ConnectedNode' });

export const nodeEvent = z
  .object({
    eventId: z.string(),
    eventType: z.string(),
    revision: z.number(),
    data: object.describe('The columns that the change set'),
    actor: z.string().nullable(),
    changeSummary: z.string().nullable(),
    timestamp: z.date(),
  })
  .meta({ id: 'NodeEvent' });

const end = z.object({ featureType, entityId: z.string(), nodeId: z.string().optional() });
export const link = z
  .object({
    linkId: z.string(),
    workspaceId: z.string(),
    source: end,
    target: end,
    linkType: z.string(),
    linkStrength: z.number(),
    linkContext: object,
    visualProperties: object,
    color: z.string().nullable(),
    isBidirectional: z.boolean(),
    createdBy: z.string().nullable(),
    revision: z.number(),
    createdAt: z.date(),
    updatedAt: z.date(),
  })
  .meta({ id: 'NodeLink' });

export const linkType = z
  .object({
    typeId: z.string(),
    typeName: z.string(),
    description: z.string().nullable(),
    color: z.string().nullable(),
    icon: z.string().nullable(),
    isBidirectional: z.boolean(),
  })
  .meta({ id: 'LinkType' });

const batchOf = <T extends z.ZodType>(item: T) => z.array(item).max(1_000).default([]);
const reference = { featureType, entityId: z.guid(), expectedRevision: z.int().min(1).optional() };

export const createNodeBody = nodeFields.omit({ featureType: true }).extend({ changeSummary });
export const updateNodeBody = nodePatch.extend({ changeSummary });
export const createLinkBody = linkInput.safeExtend({ changeSummary });
export const batchBody = z.strictObject({
  create: batchOf(nodeInput),
  update: batchOf(z.strictObject({ ...reference, updates: nodePatch })),
  delete: batchOf(z.strictObject(reference)),
  changeSummary,
});
