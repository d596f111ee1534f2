import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { notFound } from '../../lib/errors/app-error.ts';
import { principalOf } from '../access/principal-of.ts';
import { needs } from '../access/route-access.ts';
import { checkHousekeeping } from '../access/tenant.ts';
import type { Api, RouteParts } from '../api.ts';
import { wholeList, wholeListOf } from '../schemas/page.ts';
import { schedule, scheduleBody } from '../schemas/queue.ts';

const params = z.object({ name: z.string().min(1).max(200) });

/** Jobs that come round by the clock. */
export const addScheduleRoutes = (app: Api, { platform }: RouteParts): void => {
  const checkJobsOf = (request: FastifyRequest, jobs: readonly (string | undefined)[]): void => {
    for (const job of jobs) {
      const queue = job === undefined ? undefined : platform.registry.find(job)?.queue;
      checkHousekeeping(principalOf(request), platform.registry, queue);
    }
  };
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
      checkJobsOf(request, [(await platform.schedules.find(request.params.name))?.jobName]);
      await platform.schedules.remove(request.params.name);
      return reply.code(204).send(null);
    },
  });
};
