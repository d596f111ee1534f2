import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { EntityDeletion, EntityUpdate, Expectation } from './entity-store.ts';
import type { FeatureNodes } from './feature-nodes.ts';
import { featureType as knownFeature, nodeInput, nodePatch, type NodeInput, type NodePatch } from './input.ts';
import type { FeatureType, JsonObject } from './types.ts';

const mostInBatch = 1_000;

type Features = Readonly<Record<FeatureType, FeatureNodes>>;

export interface NodeUpdate extends Expectation {
  readonly featureType: FeatureType;
  readonly entityId: string;
  readonly updates: NodePatch;
}

export interface NodeDeletion extends Expectation {
  readonly featureType: FeatureType;
  readonly entityId: string;
}

/** What fits, with the feature it is of. */
export interface Valid<T> {
  readonly featureType: FeatureType;
  readonly value: T;
}
export type Checked<T> = Valid<T> | { readonly faults: readonly Fault[] };

/** An entity's fields of what all nodes have. `type` is that of its feature, and can't be chosen. */
const fieldsOf = ({ nameField }: FeatureNodes, { name, data, metadata, position }: NodePatch): JsonObject => ({
  ...data,
  ...(name === undefined ? {} : { [nameField]: name }),
  ...(metadata === undefined ? {} : { metadata }),
  ...(position === undefined ? {} : { position }),
});

/** The fields of a node by its feature's own rules; a fault in `data` is named there. */
const checkFields = (
  featureType: FeatureType,
  schema: FeatureNodes['input'],
  fields: JsonObject,
  data: JsonObject,
): Checked<JsonObject> => {
  const parsed = safeParse(schema, fields);
  if (parsed.success) return { featureType, value: parsed.data };
  const inData = (path: string): boolean =>
    Object.keys(data).some((field) => path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`));
  return {
    faults: faultsOf(parsed.error).map((fault) => ({
      ...fault,
      path: inData(fault.path) ? `data.${fault.path}` : fault.path,
    })),
  };
};

export const checkCreation = (features: Features, input: NodeInput): Checked<JsonObject> => {
  const parsed = safeParse(nodeInput, input);
  if (!parsed.success) return { faults: faultsOf(parsed.error) };
  const { featureType, entityId, ...node } = parsed.data;
  if (entityId !== undefined)
    return { faults: [{ path: 'entityId', message: 'a batch makes entities, not elements' }] };
  const nodes = features[featureType];
  return checkFields(featureType, nodes.input, fieldsOf(nodes, node), parsed.data.data);
};

export const checkUpdate = (features: Features, update: NodeUpdate): Checked<EntityUpdate> => {
  const { entityId, expectedRevision } = update;
  const feature = safeParse(knownFeature, update.featureType);
  const parsed = safeParse(nodePatch, update.updates);
  if (!feature.success || !parsed.success) {
    return {
      faults: [
        ...(feature.success ? [] : faultsOf(feature.error, ['featureType'])),
        ...(parsed.success ? [] : faultsOf(parsed.error)),
      ],
    };
  }
  const nodes = features[feature.data];
  const fields = checkFields(feature.data, nodes.patch, fieldsOf(nodes, parsed.data), parsed.data.data ?? {});
  return 'faults' in fields
    ? fields
    : { featureType: fields.featureType, value: { id: entityId, patch: fields.value, expectedRevision } };
};

export const checkDeletion = ({ featureType, entityId, expectedRevision }: NodeDeletion): Checked<EntityDeletion> => {
  const feature = safeParse(knownFeature, featureType);
  if (!feature.success) return { faults: faultsOf(feature.error, ['featureType']) };
  return { featureType: feature.data, value: { id: entityId, expectedRevision } };
};

const namedTwice = (named: readonly NodeDeletion[], name: string): readonly Fault[] => {
  const keys = named.map(({ featureType, entityId }) => `${featureType} ${entityId.toLowerCase()}`);
  return keys.flatMap((key, index) =>
    keys.indexOf(key) < index ? [{ path: `${name}[${index}].entityId`, message: 'is named twice', index }] : [],
  );
};

/**
 * The faults of a list, each with its place: `[3].name`, or `update[3].name` in a list of that name. `named` are the
 * entities that it changes or deletes.
 */
export const faultsOfList = (
  list: readonly Checked<unknown>[],
  name = '',
  named: readonly NodeDeletion[] = [],
): readonly Fault[] => [
  ...namedTwice(named.slice(0, mostInBatch), name),
  ...(list.length > mostInBatch ? [{ path: name, message: `must have at most ${mostInBatch} nodes` }] : []),
  ...list.flatMap((checked, index) =>
    'faults' in checked
      ? checked.faults.map(({ path, message }) => ({ path: `${name}[${index}].${path}`, message, index }))
      : [],
  ),
];

/** What is checked, when there is nothing wrong with any of it. */
export const validOnes = <T>(list: readonly Checked<T>[]): readonly Valid<T>[] =>
  list.flatMap((checked) => ('faults' in checked ? [] : [checked]));

/**
 * Checks a list as a whole; of a single node the faults are named without a place.
 * @throws AppError VALIDATION_ERROR naming every fault; more than 1,000 are too many.
 */
export const allValid = <T>(list: readonly Checked<T>[]): readonly Valid<T>[] => {
  const [only] = list;
  const alone = list.length === 1 && only && 'faults' in only ? only.faults : undefined;
  if (alone) throw validationError('the node', alone);
  const faults = faultsOfList(list);
  if (faults.length > 0) throw validationError('the nodes', faults);
  return validOnes(list);
};
