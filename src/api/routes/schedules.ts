import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { notFound } from '../../lib/errors/app-error.ts';
import { principalOf } from '../access/principal-of.ts';
import { needs } from '../access/route-access.ts';
import { checkHousekeeping } from '../access/tenant.ts';
import type { Api, RouteParts } from '../api.ts';
import { acceptedJob } from '../schemas/job.ts';
import { pageOf, pageQuery, wholeList, wholeListOf } from '../schemas/page.ts';
import { schedule, scheduleBody, scheduleFire } from '../schemas/queue.ts';

const params = z.object({ name: z.string().min(1).max(200) });

const verbs = [
  { verb: 'pause', summary: 'Keep a schedule, but do not run it' },
  { verb: 'resume', summary: 'Run a paused schedule again; times that came meanwhile are not made up for' },
] as const;

const addReadingRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/schedules',
    config: needs('schedules:read'),
    schema: { tags: ['schedules'], summary: 'List schedules', response: { 200: wholeListOf(schedule) } },
    handler: async () => wholeList(await platform.schedules.list()),
  });
  app.route({
    method: 'GET',
    url: '/v1/schedules/:name',
    config: needs('schedules:read'),
    schema: { tags: ['schedules'], summary: 'One schedule', params, response: { 200: schedule } },
    handler: async (request) => {
      const found = await platform.schedules.find(request.params.name);
      if (!found) throw notFound('schedule', request.params.name);
      return found;
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/schedules/:name/next',
    config: needs('schedules:read'),
    schema: {
      tags: ['schedules'],
      summary: 'The next fire times of a schedule; none while it is paused',
      params,
      querystring: z.strictObject({ limit: pageQuery.limit.removeDefault().default(5) }),
      response: { 200: wholeListOf(z.object({ fireAt: z.date() })) },
    },
    handler: async ({ params: { name }, query: { limit } }) =>
      wholeList((await platform.schedules.nextFires(name, limit)).map((fireAt) => ({ fireAt }))),
  });
  app.route({
    method: 'GET',
    url: '/v1/schedules/:name/fires',
    config: needs('schedules:read'),
    schema: {
      tags: ['schedules'],
      summary: 'What a schedule did, the latest first',
      params,
      querystring: z.strictObject(pageQuery),
      response: { 200: pageOf(scheduleFire) },
    },
    handler: async ({ params: { name }, query }) => platform.schedules.fires(name, query),
  });
};

const addWritingRoutes = (app: Api, { platform }: RouteParts): void => {
  const checkJobsOf = (request: FastifyRequest, jobs: readonly (string | undefined)[]): void => {
    for (const job of jobs) {
      const queue = job === undefined ? undefined : platform.registry.find(job)?.queue;
      checkHousekeeping(principalOf(request), platform.registry, queue);
    }
  };
  const checkStored = async (request: FastifyRequest, name: string): Promise<void> =>
    checkJobsOf(request, [(await platform.schedules.find(name))?.jobName]);
  app.route({
    method: 'PUT',
    url: '/v1/schedules/:name',
    config: needs('schedules:write'),
    schema: {
      tags: ['schedules'],
      summary: 'Make or replace a schedule',
      params,
      body: scheduleBody,
      response: { 200: schedule },
    },
    handler: async (request) => {
      const { name } = request.params;
      checkJobsOf(request, [request.body.jobName, (await platform.schedules.find(name))?.jobName]);
      return platform.schedules.put(name, request.body);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/schedules/:name',
    config: needs('schedules:write'),
    schema: { tags: ['schedules'], summary: 'Remove a schedule', params, response: { 204: z.null() } },
    handler: async (request, reply) => {
      await checkStored(request, request.params.name);
      await platform.schedules.remove(request.params.name);
      return reply.code(204).send(null);
    },
  });
  for (const { verb, summary } of verbs) {
    app.route({
      method: 'POST',
      url: `/v1/schedules/:name/${verb}`,
      config: needs('schedules:write'),
      schema: { tags: ['schedules'], summary, params, response: { 200: schedule } },
      handler: async (request) => {
        await checkStored(request, request.params.name);
        return platform.schedules[verb](request.params.name);
      },
    });
  }
  app.route({
    method: 'POST',
    url: '/v1/schedules/:name/run',
    config: needs('schedules:write'),
    schema: { tags: ['schedules'], summary: "Make a schedule's job now", params, response: { 202: acceptedJob } },
    handler: async (request, reply) => {
      await checkStored(request, request.params.name);
      return reply.code(202).send(await platform.schedules.run(request.params.name));
    },
  });
};

/** Jobs that come round by the clock. */
export const addScheduleRoutes = (app: Api, parts: RouteParts): void => {
  addReadingRoutes(app, parts);
  addWritingRoutes(app, parts);
};
