import { z } from 'zod';

/** How long finished things stay readable, in milliseconds. */
export interface Retention {
  readonly completedMs: number;
  readonly deadMs: number;
  readonly eventsMs: number;
  readonly idempotencyKeysMs: number;
  /** Searches as they were asked; their counts by day are kept longer. */
  readonly searchesMs: number;
  /** The most room that finished jobs may take in the database, indexes included; without one, their age alone decides. */
  readonly completedBytes?: number;
  readonly deadBytes?: number;
}

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const bytesOf: Readonly<Record<string, number>> = { KB: 1_024, MB: 1_024 ** 2, GB: 1_024 ** 3, TB: 1_024 ** 4 };

type AgeField = 'completedMs' | 'deadMs' | 'eventsMs' | 'idempotencyKeysMs' | 'searchesMs';
const fields: Readonly<Record<string, { readonly age: AgeField; readonly size?: 'completedBytes' | 'deadBytes' }>> = {
  completed: { age: 'completedMs', size: 'completedBytes' },
  dead: { age: 'deadMs', size: 'deadBytes' },
  events: { age: 'eventsMs' },
  idempotency: { age: 'idempotencyKeysMs' },
  searches: { age: 'searchesMs' },
};
const defaults: Retention = {
  completedMs: 7 * 86_400_000,
  deadMs: 30 * 86_400_000,
  eventsMs: 7 * 86_400_000,
  idempotencyKeysMs: 86_400_000,
  searchesMs: 90 * 86_400_000,
};

/** What `dead=30d/2GB` says: an age, a size, or both. */
const partOf = (part: string): Partial<Retention> | undefined => {
  const [, name = '', text = ''] = /^(\w+)\s*=\s*([^=]+)$/.exec(part) ?? [];
  const field = fields[name];
  if (field === undefined || text === '') return undefined;
  const found: { -readonly [Key in keyof Retention]?: number } = {};
  for (const limit of text.split('/')) {
    const [, digits, unit = ''] = /^(\d+)([a-zA-Z]+)$/.exec(limit) ?? [];
    const count = Number(digits);
    const ms = unitsMs[unit];
    const bytes = bytesOf[unit];
    if (!(count >= 1)) return undefined;
    if (ms !== undefined && found[field.age] === undefined) found[field.age] = count * ms;
    else if (bytes !== undefined && field.size && found[field.size] === undefined) found[field.size] = count * bytes;
    else return undefined;
  }
  return found;
};

/**
 * Parses `completed=7d/2GB,dead=30d,events=7d,idempotency=1d,searches=90d`; what is not named keeps its default. Ages in m, h, d; sizes, of
 * finished jobs only, in KB, MB, GB, TB.
 */
export const parseRetention = z.string().transform((text, context): Retention => {
  let retention = defaults;
  for (const part of text
    .split(',')
    .map((piece) => piece.trim())
    .filter(Boolean)) {
    const given = partOf(part);
    if (!given) {
      context.addIssue({
        code: 'custom',
        message:
          'must look like completed=7d/2GB,dead=30d,events=7d,idempotency=1d,searches=90d (ages in m, h, d; sizes, of completed and dead, in KB, MB, GB, TB)',
      });
      return z.NEVER;
    }
    retention = { ...retention, ...given };
  }
  return retention;
});
