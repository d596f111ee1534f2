import { z } from 'zod';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { job, jobId } from '../schemas/job.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

const filter = {
  queue: z.string().max(200).optional(),
  name: z.string().max(200).optional(),
  errorCode: z.string().max(100).optional().describe('The code of the error that ended the job'),
  from: time.optional().describe('Dead since then, ISO 8601 with its offset'),
  to: time.optional().describe('Dead before then'),
};

/** Jobs that failed for good. */
export const addDeadLetterRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/dead-letters',
    config: needs('jobs:read'),
    schema: {
      tags: ['dead letters'],
      summary: 'List dead letters, newest first',
      querystring: z.strictObject({ ...pageQuery, ...filter }),
      response: { 200: pageOf(job) },
    },
    handler: (request) => {
      const { limit, cursor, ...chosen } = request.query;
      return platform.deadLetters.list(chosen, { limit, cursor });
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/dead-letters/redrive',
    config: needs('queues:admin'),
    schema: {
      tags: ['dead letters'],
      summary: 'Put dead letters back to work',
      description: 'Those that match every given field, up to `limit`.',
      body: z.strictObject({
        ids: z.array(jobId).min(1).max(1_000).optional(),
        ...filter,
        limit: z.number().int().min(1).max(10_000).default(1_000),
      }),
      response: { 200: z.object({ redriven: z.number() }) },
    },
    handler: async (request) => {
      const { limit, ...chosen } = request.body;
      return { redriven: await platform.deadLetters.redrive(chosen, limit) };
    },
  });
};
