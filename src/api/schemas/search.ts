import { z } from 'zod';
import { knowledgeStatuses } from '../../domain/knowledge/types.ts';
import { searchFiltersSchema } from '../../domain/search/search-request.ts';
import { searchModes, searchSorts } from '../../domain/search/types.ts';

/** The search domain checks lengths and ranges; here stands what there is. */
export const searchBody = z.strictObject({
  query: z.string().default('').describe('Up to 500 characters; none lists all documents'),
  mode: z
    .enum(searchModes)
    .default('hybrid')
    .describe('keyword: by words; semantic: by meaning; hybrid: both, fused by rank'),
  filters: searchFiltersSchema.default({}).describe('All must hold; of the values of one, any'),
  sort: z.enum(searchSorts).default('relevance'),
  limit: z.number().int().min(1).max(100).default(20),
  offset: z.number().int().min(0).default(0).describe('offset and limit reach to 10,000; a cursor goes further'),
  cursor: z.string().max(2_000).optional().describe('nextCursor of an earlier answer to the same search'),
});

const counted = z.array(z.object({ value: z.string(), count: z.number() })).readonly();

export const searchAnswer = z
  .object({
    searchId: z.string(),
    total: z.number().describe('Documents that filters and words match'),
    hits: z
      .array(
        z.object({
          id: z.string(),
          title: z.string(),
          score: z.number().describe('Comparable within one answer only'),
          highlights: z.array(z.string()).readonly().describe('HTML: escaped, what matched in <mark>'),
          excerpt: z.string(),
          status: z.enum(knowledgeStatuses),
          tags: z.array(z.string()).readonly(),
          author: z.object({ id: z.string(), name: z.string() }).nullable(),
          createdAt: z.date(),
          updatedAt: z.date(),
        }),
      )
      .readonly(),
    facets: z.object({
      tags: counted,
      authors: z.array(z.object({ id: z.string(), name: z.string(), count: z.number() })).readonly(),
      status: counted,
      timeline: counted.describe('By the month documents were made in, UTC'),
    }),
    nextCursor: z.string().nullable(),
    tookMs: z.number(),
    backend: z.enum(['postgres', 'elasticsearch']),
    degraded: z.boolean().describe('Less than was asked for: the embedder failed, and words alone were searched'),
  })
  .meta({ id: 'SearchAnswer' });

export const suggestions = z
  .object({
    titles: z.array(z.object({ id: z.string(), title: z.string() })).readonly(),
    tags: z.array(z.string()).readonly(),
  })
  .meta({ id: 'Suggestions' });
