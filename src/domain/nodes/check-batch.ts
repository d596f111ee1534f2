import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { FeatureNodes } from './feature-nodes.ts';
import type { FeatureType, JsonObject } from './types.ts';

const mostInBatch = 1_000;

/** What fits, with the feature it is of. */
export interface Valid<T> {
  readonly featureType: FeatureType;
  readonly value: T;
}
type Checked<T> = Valid<T> | { readonly faults: readonly Fault[] };

/** The fields of a node by its feature's own rules; a fault in `data` is named there. */
export const checkFields = (
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

/**
 * Checks a batch as a whole.
 * @throws AppError VALIDATION_ERROR naming every fault, with its place where there are several; more than 1,000 are too many.
 */
export const checkAll = <I, T>(inputs: readonly I[], check: (input: I) => Checked<T>): readonly Valid<T>[] => {
  if (inputs.length > mostInBatch)
    throw validationError('the batch', [{ path: '', message: `must have at most ${mostInBatch} nodes` }]);
  const faults: Fault[] = [];
  const valid: Valid<T>[] = [];
  for (const [index, input] of inputs.entries()) {
    const checked = check(input);
    if (!('faults' in checked)) valid.push(checked);
    else if (inputs.length === 1) faults.push(...checked.faults);
    else faults.push(...checked.faults.map(({ path, message }) => ({ path: `[${index}].${path}`, message, index })));
  }
  if (faults.length > 0) throw validationError(inputs.length === 1 ? 'the node' : 'the nodes', faults);
  return valid;
};
