/** Dotted paths into JSON values. A path goes through lists: `cards.number` names the number of each card. */

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

const mapAt = (value: unknown, parts: readonly string[], change: (found: unknown) => unknown): unknown => {
  if (Array.isArray(value) && parts.length > 0) return value.map((inner) => mapAt(inner, parts, change));
  const [key, ...rest] = parts;
  if (key === undefined) return change(value);
  if (!isObject(value) || !Object.hasOwn(value, key) || value[key] === undefined) return value;
  return { ...value, [key]: mapAt(value[key], rest, change) };
};

/** A copy with `change` applied to what lies at each of the paths; what is not there stays so. */
export const mapPaths = (
  value: unknown,
  paths: readonly string[],
  change: (found: unknown, path: string) => unknown,
): unknown => paths.reduce((changed, path) => mapAt(changed, path.split('.'), (found) => change(found, path)), value);

/** What lies at the paths. */
export const valuesAt = (value: unknown, paths: readonly string[]): readonly unknown[] => {
  const found: unknown[] = [];
  mapPaths(value, paths, (inner) => {
    found.push(inner);
    return inner;
  });
  return found;
};

/** Whether one of the paths contains the other. */
export const overlap = (a: string, b: string): boolean => `${a}.`.startsWith(`${b}.`) || `${b}.`.startsWith(`${a}.`);
