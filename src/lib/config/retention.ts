import { z } from 'zod';

/** How long finished things stay readable, in milliseconds. */
export interface Retention {
  readonly completedMs: number;
  readonly deadMs: number;
  readonly eventsMs: number;
  readonly idempotencyKeysMs: number;
}

const unitsMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const fields: Readonly<Record<string, keyof Retention>> = {
  completed: 'completedMs',
  dead: 'deadMs',
  events: 'eventsMs',
  idempotency: 'idempotencyKeysMs',
};
const defaults: Retention = {
  completedMs: 7 * 86_400_000,
  deadMs: 30 * 86_400_000,
  eventsMs: 7 * 86_400_000,
  idempotencyKeysMs: 86_400_000,
};

/** Parses `completed=7d,dead=30d,events=7d,idempotency=1d`; what is not named keeps its default. Units m, h, d. */
export const parseRetention = z.string().transform((text, context): Retention => {
  const given: Partial<Record<keyof Retention, number>> = {};
  for (const part of text
    .split(',')
    .map((piece) => piece.trim())
    .filter(Boolean)) {
    const match = /^(\w+)\s*=\s*(\d+)([mhd])$/.exec(part);
    const field = match?.[1] === undefined ? undefined : fields[match[1]];
    const unitMs = match?.[3] === undefined ? undefined : unitsMs[match[3]];
    if (field === undefined || unitMs === undefined || Number(match?.[2]) < 1) {
      context.addIssue({
        code: 'custom',
        message: 'must look like completed=7d,dead=30d,events=7d,idempotency=1d (units m, h, d)',
      });
      return z.NEVER;
    }
    given[field] = Number(match?.[2]) * unitMs;
  }
  return { ...defaults, ...given };
});
