import { validationError } from '../../lib/errors/app-error.ts';

const areas = [
  'jobs',
  'schedules',
  'workspaces',
  'knowledge',
  'search',
  'nodes',
  'presence',
  'sessions',
  'events',
  'cache',
  'sagas',
] as const;
type Area = (typeof areas)[number];

/** What a key may be allowed to do. `admin` includes every other one. */
export type Scope =
  | `${Area}:read`
  | `${Area}:write`
  | 'analytics:read'
  | 'queues:admin'
  | 'health:read'
  | 'actors:assert'
  | 'admin';

export const scopes: readonly Scope[] = [
  ...areas.flatMap((area) => [`${area}:read`, `${area}:write`] as const),
  'analytics:read',
  'queues:admin',
  'health:read',
  'actors:assert',
  'admin',
];

const known: ReadonlySet<string> = new Set(scopes);
const isScope = (text: string): text is Scope => known.has(text);

/** @throws AppError VALIDATION_ERROR naming every text that is not a scope, or an empty list. */
export const parseScopes = (given: readonly string[]): readonly Scope[] => {
  const faults = given
    .filter((text) => !isScope(text))
    .map((text) => ({ path: 'scopes', message: `${JSON.stringify(text)} is not a scope` }));
  if (given.length === 0) faults.push({ path: 'scopes', message: 'name at least one scope' });
  if (faults.length > 0) throw validationError('the key', faults);
  return [...new Set(given.filter(isScope))];
};
