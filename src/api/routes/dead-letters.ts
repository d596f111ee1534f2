import { z } from 'zod';
import { pathFilterSchema } from '../../lib/json/path-filter.ts';
import { redrive } from '../../jobs/maintenance/contract.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { acceptedJob, job, jobId } from '../schemas/job.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';

const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

/** In a query, as JSON, so that the types of its values are clear. */
const payloadJson = z
  .string()
  .max(10_000)
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue({ code: 'custom', message: 'must be JSON, such as {"order.customerId":"c7"}' });
      return z.NEVER;
    }
  })
  .pipe(pathFilterSchema)
  .optional()
  .describe('What the payload holds, by dotted path, as JSON: {"order.customerId":"c7","express":true}');

const filter = {
  queue: z.string().max(200).optional(),
  name: z.string().max(200).optional(),
  errorCode: z.string().max(100).optional().describe('The code of the error that ended the job'),
  tenant: z.string().max(500).optional(),
  tag: z.string().max(200).optional(),
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
      querystring: z.strictObject({ ...pageQuery, ...filter, payload: payloadJson }),
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
      description:
        'Those that match every given field: up to `limit` of them at once (200), or with `ratePerSecond` all of them, by a job that spreads them out (202): follow, wait for and cancel it like any other.',
      body: z
        .strictObject({
          ids: z.array(jobId).min(1).max(1_000).optional(),
          ...filter,
          payload: pathFilterSchema.optional().describe('What the payload holds, by dotted path'),
          limit: z.number().int().min(1).max(10_000).optional().describe('1,000 by default'),
          ratePerSecond: z.number().int().min(1).max(10_000).optional(),
        })
        .refine(({ limit, ratePerSecond }) => limit === undefined || ratePerSecond === undefined, {
          path: ['limit'],
          message: 'cannot be given together with ratePerSecond',
        }),
      response: { 200: z.object({ redriven: z.number() }), 202: acceptedJob },
    },
    handler: async (request, reply) => {
      const { limit = 1_000, ratePerSecond, ...chosen } = request.body;
      if (ratePerSecond === undefined) {
        return reply.code(200).send({ redriven: await platform.deadLetters.redrive(chosen, limit) });
      }
      const { from, to, ...rest } = chosen;
      const jobFilter = { ...rest, from: from?.toISOString(), to: to?.toISOString() };
      return reply.code(202).send(await platform.enqueuer.enqueue(redrive, { filter: jobFilter, ratePerSecond }));
    },
  });
};
