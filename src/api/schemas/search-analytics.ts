import { z } from 'zod';

/** The analytics domain checks ranges; here stands what there is. */
export const clickBody = z.strictObject({
  searchId: z.uuid().describe('Of the first page of the search'),
  documentId: z.uuid(),
  position: z.number().int().min(1).max(1_000_000).describe('Among all hits, from 1'),
});

const moment = 'A day such as 2026-11-01, which begins at midnight in the time zone of the workspace, or a time';
export const trendsQuery = z.strictObject({
  from: z.string().optional().describe(`${moment}; 30 days before \`to\` by default`),
  to: z.string().optional().describe(`${moment}; without it up to now. At most 366 days after \`from\``),
});

const counted = z.array(z.object({ query: z.string(), searches: z.number() })).readonly();

export const searchTrends = z
  .object({
    searches: z.number(),
    withoutResult: z.number().describe('Searches with a total of 0'),
    degraded: z.number().describe('Searches that were answered with less than was asked for'),
    clicks: z.number(),
    clickThroughRate: z.number().nullable().describe('The share of searches with a click; null without searches'),
    responseTime: z
      .object({ averageMs: z.number(), p95Ms: z.number().describe('Within a tenth') })
      .nullable()
      .describe('Null without searches'),
    popularQueries: counted.describe('The ten most frequent, in lower case and single spaces'),
    zeroResultQueries: counted.describe('The ten that had a total of 0 most frequently'),
    searchVolume: z
      .array(
        z.object({
          day: z.string().describe('In the time zone of the workspace'),
          searches: z.number(),
          withoutResult: z.number(),
          clicks: z.number(),
        }),
      )
      .readonly()
      .describe('Every day that the range touches'),
  })
  .meta({ id: 'SearchTrends' });
