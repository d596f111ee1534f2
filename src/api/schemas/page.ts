import { z } from 'zod';

/** `limit` and `cursor` of a list's query. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(100).default(20).describe('How many items to answer, 1 to 100'),
  cursor: z.string().min(1).max(2_000).optional().describe('nextCursor or prevCursor of an earlier answer'),
};

/** The answer of a list. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item).readonly(),
    nextCursor: z.string().nullable(),
    prevCursor: z.string().nullable(),
  });

/** The answer of a list that is short enough to come whole. */
export const wholeListOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item).readonly(), nextCursor: z.null(), prevCursor: z.null() });

export const wholeList = <T>(items: readonly T[]) => ({ items, nextCursor: null, prevCursor: null });
