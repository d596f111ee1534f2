import { z } from 'zod';
import { consumerName } from '../../domain/events/consumers/define-consumer.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { consumerStatus, eventDeadLetter } from '../schemas/event.ts';
import { pageOf, pageQuery, wholeList, wholeListOf } from '../schemas/page.ts';

const tags = ['events'];
const params = z.object({ name: consumerName.describe('The name of a consumer') });

const addConsumers = (app: Api, { platform: { eventConsumers } }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/events/consumers',
    config: needs('events:read'),
    schema: { tags, summary: 'Durable consumers and how far they are', response: { 200: wholeListOf(consumerStatus) } },
    handler: async () => wholeList(await eventConsumers.list()),
  });
  app.route({
    method: 'GET',
    url: '/v1/events/consumers/:name',
    config: needs('events:read'),
    schema: { tags, summary: 'One durable consumer', params, response: { 200: consumerStatus } },
    handler: (request) => eventConsumers.get(request.params.name),
  });
  app.route({
    method: 'DELETE',
    url: '/v1/events/consumers/:name',
    config: needs('events:write'),
    schema: {
      tags,
      summary: 'Forget a consumer that is no more, with its position and its dead letters',
      description: '409 while a process runs it.',
      params,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      await eventConsumers.forget(request.params.name);
      return reply.code(204).send(null);
    },
  });
};

const addDeadLetters = (app: Api, { platform: { eventConsumers } }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/events/consumers/:name/dead-letters',
    config: needs('events:read'),
    schema: {
      tags,
      summary: 'Events that a consumer failed with for good, the latest first',
      params,
      querystring: z.strictObject(pageQuery),
      response: { 200: pageOf(eventDeadLetter) },
    },
    handler: (request) => eventConsumers.deadLetters(request.params.name, request.query),
  });
  app.route({
    method: 'POST',
    url: '/v1/events/consumers/:name/redrive',
    config: needs('events:write'),
    schema: {
      tags,
      summary: 'Have dead letters handled once more, all or those of the given events',
      params,
      body: z.strictObject({ eventIds: z.array(z.guid()).min(1).max(1_000).optional() }),
      response: { 202: z.object({ redriven: z.number() }) },
    },
    handler: async (request, reply) => {
      const redriven = await eventConsumers.redrive(request.params.name, request.body.eventIds);
      return reply.code(202).send({ redriven });
    },
  });
};

/** Durable consumers: where they stand, and what they failed with. */
export const addEventConsumerRoutes = (app: Api, parts: RouteParts): void => {
  addConsumers(app, parts);
  addDeadLetters(app, parts);
};
