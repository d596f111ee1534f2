import { z } from 'zod';
import type { Fault } from '../../lib/errors/app-error.ts';
import type { JobContract } from '../define-job.ts';
import { overlap } from './value-paths.ts';

const schemaOf = z.looseObject({
  properties: z.record(z.string(), z.unknown()).optional(),
  items: z.unknown().optional(),
  additionalProperties: z.unknown().optional(),
});

/** Whether a JSON schema lets something lie at the path. What it says in other words than properties and items may be anything. */
const allows = (schema: unknown, [name, ...rest]: readonly string[]): boolean => {
  const parsed = schemaOf.safeParse(schema);
  if (name === undefined || !parsed.success) return true;
  const { properties, items, additionalProperties, type } = parsed.data;
  if (type === 'array') return allows(items, [name, ...rest]);
  if (type !== 'object' || !properties) return type === undefined || type === 'object';
  if (Object.hasOwn(properties, name)) return allows(properties[name], rest);
  return typeof additionalProperties === 'object';
};

const faultsOfNames = (field: string, paths: readonly string[], schema: z.ZodType): readonly Fault[] => {
  if (paths.length === 0) return [];
  const json = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' });
  return paths
    .filter((path) => !allows(json, path.split('.')))
    .map((path) => ({ path: field, message: `${path} is not in the schema, so nothing would be hidden` }));
};

type Hiding = Pick<
  JobContract,
  'encrypt' | 'redact' | 'redactResult' | 'deduplicateBy' | 'groupBy' | 'payload' | 'result'
>;

/** What is wrong with the paths that a contract hides. The keys that jobs are told apart by are kept and shown as they are. */
export const faultsOfPaths = (contract: Hiding): readonly Fault[] => {
  const { encrypt, redact, redactResult, deduplicateBy, groupBy = [], payload, result } = contract;
  const visible = new Map([
    ['workspaceId', 'is the tenant of the job'],
    ...groupBy.map((path) => [path, 'is in groupBy'] as const),
    ...deduplicateBy.map((path) => [path, 'is in deduplicateBy'] as const),
  ]);
  const seen = (['encrypt', 'redact'] as const).flatMap((field) =>
    contract[field].flatMap((path) => {
      const [by] = [...visible].filter(([other]) => overlap(path, other));
      return by ? [{ path: field, message: `${path} cannot be hidden: ${by[0]} ${by[1]}` }] : [];
    }),
  );
  const twice = encrypt.filter((path, index) => encrypt.some((other, at) => at < index && overlap(path, other)));
  return [
    ...seen,
    ...twice.map((path) => ({ path: 'encrypt', message: `${path} is named twice, or lies in another path` })),
    ...faultsOfNames('encrypt', encrypt, payload),
    ...faultsOfNames('redact', redact, payload),
    ...(result ? faultsOfNames('redactResult', redactResult, result) : []),
  ];
};
