import { z } from 'zod';
import { isStorable, lineOfText, storableObject, storableText } from '../../lib/text/storable.ts';
import { featureTypes } from './types.ts';

const mostElements = 5_000;
const contentBytes = 8_388_608;
const objectBytes = 262_144;

const object = storableObject(objectBytes);
const coordinate = z.number({ error: 'must be a number' }).min(-1e9).max(1e9);
const position = z.strictObject({ x: coordinate, y: coordinate });
const viewport = z.strictObject({ x: coordinate, y: coordinate, zoom: z.number().positive().max(1_000) });
const minutes = z.int({ error: 'must be a whole number of minutes' }).min(0).max(2_147_483_647);
const tags = z.array(lineOfText(100)).max(100, 'must have at most 100 entries');
const text = storableText(10_000).nullable();
const optionalLine = (length: number) => lineOfText(length).nullable();
/** In lower case, as Postgres writes it: two spellings of an id are one entity. */
const id = z.guid({ error: 'must be an id' }).toLowerCase();

/** The id of an element: unique in its entity, chosen by whoever makes it. */
const elementId = lineOfText(255);
export const featureType = z.enum(featureTypes, { error: `must be ${featureTypes.join(', ')}` });
export const nodeReference = z.strictObject({ featureType, entityId: id, nodeId: elementId.optional() });

const elementFields = { type: lineOfText(50), name: lineOfText(255), position, data: object, metadata: object };
/** Without `name` an element is called by its id. */
export const elementInput = z
  .strictObject({ id: elementId, ...elementFields })
  .partial()
  .required({ id: true })
  .transform(({ id: own, ...given }) => ({
    id: own,
    type: 'node',
    name: own,
    position: { x: 0, y: 0 },
    data: {},
    metadata: {},
    ...given,
  }));
export type ElementInput = z.input<typeof elementInput>;
export const elementPatch = z.strictObject(elementFields).partial();
export type ElementPatch = z.input<typeof elementPatch>;

const withOwnIds = (list: readonly { readonly id: string }[]): boolean =>
  new Set(list.map(({ id: own }) => own)).size === list.length;
const listOf = <T extends z.ZodType<{ readonly id: string }>>(item: T) =>
  z.array(item).max(mostElements, `must have at most ${mostElements} entries`).refine(withOwnIds, 'holds an id twice');
const elements = listOf(elementInput);
/** Whatever else they hold. */
const things = listOf(z.looseObject({ id: elementId }).and(object));

const diagram = {
  name: lineOfText(255),
  description: text,
  version: lineOfText(50),
  nodes: elements,
  edges: things,
  viewport,
  tags,
  metadata: object,
};

export const functionModelPatch = z
  .strictObject({
    ...diagram,
    status: z.enum(['draft', 'active', 'archived']),
    processType: optionalLine(100),
    complexityLevel: optionalLine(20),
    estimatedDuration: minutes.nullable(),
    permissions: object,
  })
  .partial();
export const functionModelInput = functionModelPatch.required({ name: true });
export type FunctionModelInput = z.input<typeof functionModelInput>;
export type FunctionModelPatch = z.input<typeof functionModelPatch>;

export const sopPatch = z
  .strictObject({
    title: lineOfText(255),
    content: z
      .string({ error: 'must be text' })
      .refine(isStorable, 'contains NUL or half of a surrogate pair')
      .refine((value) => Buffer.byteLength(value) <= contentBytes, `must have at most ${contentBytes} bytes`),
    summary: text,
    tags,
    category: optionalLine(100),
    version: lineOfText(50),
    status: z.enum(['draft', 'published', 'archived']),
    nodes: elements,
    position,
    metadata: object,
    author: optionalLine(255),
    readTime: minutes.nullable(),
    searchKeywords: tags,
  })
  .partial();
export const sopInput = sopPatch.required({ title: true, content: true });
export type SopInput = z.input<typeof sopInput>;
export type SopPatch = z.input<typeof sopPatch>;

export const eventStormPatch = z
  .strictObject({
    ...diagram,
    status: z.enum(['draft', 'active', 'archived']),
    domainContext: text,
    timeHorizon: optionalLine(50),
    aggregates: things,
  })
  .partial();
export const eventStormInput = eventStormPatch.required({ name: true });
export type EventStormInput = z.input<typeof eventStormInput>;
export type EventStormPatch = z.input<typeof eventStormPatch>;

export const spindlePatch = z
  .strictObject({
    ...diagram,
    status: z.enum(['draft', 'active', 'inactive', 'error', 'archived']),
    spindleType: optionalLine(50),
    complexityLevel: optionalLine(20),
  })
  .partial();
export const spindleInput = spindlePatch.required({ name: true });
export type SpindleInput = z.input<typeof spindleInput>;
export type SpindlePatch = z.input<typeof spindlePatch>;

const isAnotherNode = ({ source, target }: Record<'source' | 'target', z.output<typeof nodeReference>>): boolean =>
  source.featureType !== target.featureType ||
  source.entityId !== target.entityId ||
  (source.nodeId ?? '') !== (target.nodeId ?? '');

export const linkInput = z
  .strictObject({
    source: nodeReference,
    target: nodeReference,
    linkType: lineOfText(50),
    linkStrength: z
      .number({ error: 'must be a number' })
      .min(0, 'must be from 0 to 1')
      .max(1, 'must be from 0 to 1')
      .default(1),
    linkContext: object.default({}),
    visualProperties: object.default({}),
  })
  .refine(isAnotherNode, { path: ['target'], error: 'is the source itself' });
export type LinkInput = z.input<typeof linkInput>;

export const agentPatch = z
  .strictObject({
    name: lineOfText(255),
    instructions: storableText(100_000).nullable(),
    tools: z.array(z.unknown()).max(200, 'must have at most 200 entries'),
    capabilities: object,
    metadata: object,
    isEnabled: z.boolean({ error: 'must be true or false' }),
  })
  .partial();
export const agentInput = agentPatch.required({ name: true });
export type AgentInput = z.input<typeof agentInput>;
export type AgentPatch = z.input<typeof agentPatch>;

export const connectionsInput = z.strictObject({
  depth: z.int({ error: 'must be a whole number' }).min(1).max(10, 'must be 10 or less').default(1),
  limit: z.int({ error: 'must be a whole number' }).min(1).max(1_000, 'must be 1000 or less').default(100),
  direction: z.enum(['both', 'out', 'in']).default('both'),
  linkTypes: z.array(lineOfText(50)).max(50).optional(),
});
export type ConnectionsInput = z.input<typeof connectionsInput>;

export const nodeFilter = z.strictObject({ status: lineOfText(20).optional(), tag: lineOfText(100).optional() });
export type NodeFilter = z.input<typeof nodeFilter>;

/** A node as its writer has it: an entity, or with `nodeId` an element of the entity `entityId`. */
export const nodeFields = z.strictObject({
  featureType,
  entityId: id.optional(),
  nodeId: elementId.optional(),
  type: lineOfText(50).optional(),
  name: lineOfText(255),
  position: position.optional(),
  data: z.record(z.string(), z.unknown(), { error: 'must be a JSON object' }).default({}),
  metadata: object.default({}),
});
export const nodeInput = nodeFields.refine(
  ({ nodeId, entityId }) => (nodeId === undefined) === (entityId === undefined),
  { path: ['entityId'], error: 'goes together with nodeId: the entity that the element belongs to' },
);
export type NodeInput = z.input<typeof nodeInput>;

export const nodePatch = z.strictObject({
  type: lineOfText(50).optional(),
  name: lineOfText(255).optional(),
  position: position.optional(),
  data: z.record(z.string(), z.unknown(), { error: 'must be a JSON object' }).optional(),
  metadata: object.optional(),
});
export type NodePatch = z.input<typeof nodePatch>;
