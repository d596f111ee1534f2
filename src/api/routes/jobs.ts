import { z } from 'zod';
import { validationError } from '../../lib/errors/app-error.ts';
import type { EnqueueRequest } from '../../queues/ports.ts';
import { needsOfTenant } from '../access/route-access.ts';
import { principalOf } from '../access/principal-of.ts';
import { checkParents, confineEnqueue, confineFilter, findJobFor } from '../access/tenant.ts';
import type { Api, RouteParts } from '../api.ts';
import { acceptedJob, batchBody, enqueueBody, job, jobId, jobState } from '../schemas/job.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';

const idempotencyHeaders = z.looseObject({
  'idempotency-key': z
    .string()
    .min(1)
    .max(500)
    .optional()
    .describe('The same key with the same request answers the same job; with another request it is a 409'),
});

const withIdempotencyKey = (request: EnqueueRequest, key: string | undefined): EnqueueRequest => {
  if (key === undefined) return request;
  const inBody = request.options?.idempotencyKey;
  if (inBody !== undefined && inBody !== key) {
    throw validationError('the body', [
      { path: 'options.idempotencyKey', message: 'differs from the Idempotency-Key header' },
    ]);
  }
  return { ...request, options: { ...request.options, idempotencyKey: key } };
};

const refuseKeysInBatch = (jobs: readonly EnqueueRequest[], header: string | undefined): void => {
  const faults = jobs.flatMap((request, index) =>
    request.options?.idempotencyKey === undefined
      ? []
      : [{ path: `jobs[${index}].options.idempotencyKey`, message: 'is for single jobs only', index }],
  );
  if (header !== undefined) faults.unshift({ path: 'idempotency-key', message: 'is for single jobs only', index: 0 });
  if (faults.length > 0) throw validationError('the batch', faults);
};

const addEnqueueRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'POST',
    url: '/v1/jobs',
    config: needsOfTenant('jobs:write'),
    schema: {
      tags: ['jobs'],
      summary: 'Enqueue a job',
      description:
        'The job is accepted when this is answered: it will run, whatever crashes. Housekeeping (the queue `maintenance`) needs the scope `queues:admin` as well.',
      headers: idempotencyHeaders,
      body: enqueueBody,
      response: { 202: acceptedJob },
    },
    handler: async (request, reply) => {
      const principal = principalOf(request);
      const confined = confineEnqueue(principal, platform.registry, request.body);
      await checkParents(platform.jobs, principal, [confined]);
      const accepted = await platform.enqueuer.enqueueByName(
        withIdempotencyKey(confined, request.headers['idempotency-key']),
        { idempotencyScope: `http:${principal.id}` },
      );
      return reply.code(202).send(accepted);
    },
  });
  app.route({
    method: 'POST',
    url: '/v1/jobs/batch',
    config: needsOfTenant('jobs:write'),
    schema: {
      tags: ['jobs'],
      summary: 'Enqueue up to 1,000 jobs, all or none',
      description: 'If any job has a fault none is accepted, and every fault is named with the index of its job.',
      headers: idempotencyHeaders,
      body: batchBody,
      response: { 202: z.object({ jobs: z.array(acceptedJob).readonly() }) },
    },
    handler: async (request, reply) => {
      const principal = principalOf(request);
      refuseKeysInBatch(request.body.jobs, request.headers['idempotency-key']);
      const confined = request.body.jobs.map((entry) => confineEnqueue(principal, platform.registry, entry));
      await checkParents(platform.jobs, principal, confined);
      const jobs = await platform.enqueuer.enqueueBatch(confined);
      return reply.code(202).send({ jobs });
    },
  });
};

const addReadRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/jobs',
    config: needsOfTenant('jobs:read'),
    schema: {
      tags: ['jobs'],
      summary: 'List jobs, newest first',
      querystring: z.strictObject({
        ...pageQuery,
        queue: z.string().max(200).optional(),
        state: jobState.optional(),
        name: z.string().max(200).optional(),
        tag: z.string().max(100).optional(),
        tenant: z.string().max(200).optional(),
        parent: z.uuid().optional().describe('The children of this job'),
      }),
      response: { 200: pageOf(job) },
    },
    handler: (request) => {
      const { limit, cursor, ...filter } = request.query;
      return platform.jobs.list(confineFilter(principalOf(request), filter), { limit, cursor });
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/jobs/:id',
    config: needsOfTenant('jobs:read'),
    schema: {
      tags: ['jobs'],
      summary: 'One job: state, progress, attempts, result, error, times',
      params: z.object({ id: jobId }),
      response: { 200: job },
    },
    handler: (request) => findJobFor(platform.jobs, principalOf(request), request.params.id),
  });
};

/** Enqueueing and looking at jobs. */
export const addJobRoutes = (app: Api, parts: RouteParts): void => {
  addEnqueueRoutes(app, parts);
  addReadRoutes(app, parts);
};
