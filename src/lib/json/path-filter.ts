import { z } from 'zod';

/** A value in a JSON document, by its dotted path: `{ 'order.customerId': 'c7' }`. Several paths must all match. */
export type PathFilter = Readonly<Record<string, string | number | boolean | null>>;

const path = z
  .string()
  .max(500)
  .regex(/^[^.\0]+(?:\.[^.\0]+)*$/, 'must be names with dots between them, such as order.customerId');

export const pathFilterSchema: z.ZodType<PathFilter> = z
  .record(
    path,
    z.union(
      [z.string().max(1_000), z.number(), z.boolean(), z.null()],
      'must be a text, a number, true, false or null',
    ),
  )
  .refine((filter) => Object.keys(filter).length <= 20, 'must name at most 20 paths');

/** For each path the JSON that a document must contain (`@>`) to match. A path leads through objects only, not into lists. */
export const containedIn = (filter: PathFilter): readonly string[] =>
  Object.entries(filter).map(([dotted, value]) =>
    JSON.stringify(dotted.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value)),
  );
