import { Readable } from 'node:stream';
import { z } from 'zod';
import { notFound } from '../../lib/errors/app-error.ts';
import { finishedStates, type JobRecord, type JobState } from '../../queues/ledger/job-record.ts';
import { principalOf } from '../access/principal-of.ts';
import { needsOfTenant } from '../access/route-access.ts';
import { findJobFor } from '../access/tenant.ts';
import type { Api, RouteParts } from '../api.ts';
import { eventStream, untilGone } from '../events/event-stream.ts';
import { job, jobId } from '../schemas/job.ts';

const finished: ReadonlySet<JobState> = new Set(finishedStates);

const shown = (record: JobRecord): string => JSON.stringify(z.encode(job, job.parse(record)));

const addWaitRoute = (app: Api, { platform, closing, heartbeatMs }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/jobs/:id/wait',
    config: needsOfTenant('jobs:read'),
    schema: {
      tags: ['jobs'],
      summary: 'Wait until a job has finished',
      description: 'Answers 200 when it has, or 202 with its present state at the time-out.',
      params: z.object({ id: jobId }),
      querystring: z.strictObject({
        timeoutMs: z.coerce.number().int().min(0).max(300_000).default(30_000),
      }),
      response: { 200: job, 202: job },
    },
    handler: async (request, reply) => {
      const { id } = await findJobFor(platform.jobs, principalOf(request), request.params.id);
      const signal = untilGone(request, reply, { closing, heartbeatMs });
      const record = await platform.jobs.wait(id, request.query.timeoutMs, signal);
      if (!record) throw notFound('job', id);
      return reply.code(finished.has(record.state) ? 200 : 202).send(record);
    },
  });
};

const addEventsRoute = (app: Api, { platform, closing, heartbeatMs }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/jobs/:id/events',
    config: needsOfTenant('jobs:read'),
    schema: {
      tags: ['jobs'],
      summary: "A job's changes as server-sent events",
      description:
        'Events `state` and `progress`, each with the job as its data: the first at once, the last when the job has finished. A comment line keeps a silent connection open.',
      params: z.object({ id: jobId }),
      produces: ['text/event-stream'],
      response: { 200: z.instanceof(Readable) },
    },
    handler: async (request, reply) => {
      const { id } = await findJobFor(platform.jobs, principalOf(request), request.params.id);
      const signal = untilGone(request, reply, { closing, heartbeatMs });
      const events = eventStream(platform.jobs.watch(id, signal), {
        signal,
        heartbeatMs,
        format: ({ type, job: record }) => ({ event: type, data: shown(record) }),
      });
      return reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .send(Readable.from(events, { objectMode: false, encoding: 'utf8' }));
    },
  });
};

/** Waiting for a job's end, and following it there. */
export const addJobEventRoutes = (app: Api, parts: RouteParts): void => {
  addWaitRoute(app, parts);
  addEventsRoute(app, parts);
};
