import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { eventBody, type NewEvent } from '../../domain/events/domain-event.ts';
import type { Position } from '../../domain/events/position.ts';
import { positionText } from '../../domain/events/position.ts';
import type { Stretch } from '../../domain/events/types.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { actorOf } from '../access/principal-of.ts';
import { needsWorkspaceAsked } from '../access/route-access.ts';
import { workspaceIfAsked } from '../access/workspace-of.ts';
import type { Api, RouteParts } from '../api.ts';
import { eventStream, untilGone, type ServerSentEvent } from '../events/event-stream.ts';
import { batchBody, event, publishBody, publishedEvents, streamPosition, typeList } from '../schemas/event.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { workspaceParam } from '../schemas/workspace.ts';

const tags = ['events'];
const time = z.iso.datetime({ offset: true }).transform((text) => new Date(text));
const ofWorkspace = {
  workspace: workspaceParam
    .optional()
    .describe("The name or id of the events' workspace: that of the key by default, of a key without one all"),
};

const addPublish = (app: Api, { platform }: RouteParts): void => {
  const { events, workspaces } = platform;
  const idIn = async (request: FastifyRequest<{ Querystring: { workspace?: string | undefined } }>) =>
    (await workspaceIfAsked(request, workspaces))?.id;
  app.route({
    method: 'POST',
    url: '/v1/events',
    config: needsWorkspaceAsked('events:write'),
    schema: {
      tags,
      summary: 'Publish an event, or up to 1,000',
      description:
        'The body is one event, or `{ events: [...] }`, which are published all or none. An `id` (a UUID) makes it idempotent: an event that is there with this content is answered as it is, with another one it is 409.',
      querystring: z.strictObject({
        workspace: workspaceParam
          .optional()
          .describe("Whose events they are: the key's workspace by default, else nobody's"),
      }),
      body: publishBody,
      response: { 201: z.union([event, publishedEvents]) },
    },
    handler: async (request, reply) => {
      const context = { actor: actorOf(request), workspaceId: await idIn(request) };
      const withContext = (one: NewEvent): NewEvent => ({ ...one, ...context });
      if (request.body.events === undefined) {
        const one = parseOrThrow(eventBody, request.body, 'the event');
        return reply.code(201).send(await events.publish(withContext(one)));
      }
      const batch = parseOrThrow(batchBody, request.body, 'the events');
      return reply.code(201).send({ events: await events.publishBatch(batch.events.map(withContext)) });
    },
  });
};

const addHistory = (app: Api, { platform }: RouteParts): void => {
  const { events, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/events',
    config: needsWorkspaceAsked('events:read'),
    schema: {
      tags,
      summary: 'Events that were published, the latest first',
      querystring: z.strictObject({
        ...ofWorkspace,
        ...pageQuery,
        type: z.string().optional().describe('A type, such as order.paid'),
        aggregateId: z.string().optional(),
        after: time.optional().describe('Later than this'),
        before: time.optional().describe('Earlier than this'),
      }),
      response: { 200: pageOf(event) },
    },
    handler: async (request) => {
      const { workspace: _, limit, cursor, ...filter } = request.query;
      const workspaceId = (await workspaceIfAsked(request, workspaces))?.id;
      return events.list({ ...filter, workspaceId }, { limit, cursor });
    },
  });
};

type Sent = { readonly position: Position; readonly json?: string };

/** One item an event; and positions alone, so that a client knows where to go on when nothing concerned it. */
async function* sent(stretches: AsyncIterable<Stretch>): AsyncGenerator<Sent> {
  for await (const { events, to } of stretches) {
    for (const { position, event: one } of events)
      yield { position, json: JSON.stringify(z.encode(event, event.parse(one))) };
    if (events.length === 0) yield { position: to };
  }
}

const format = ({ position, json }: Sent): ServerSentEvent => ({
  id: positionText(position),
  ...(json === undefined ? {} : { event: 'message', data: json }),
});

const addStream = (app: Api, { platform, closing, heartbeatMs }: RouteParts): void => {
  const { events, workspaces } = platform;
  app.route({
    method: 'GET',
    url: '/v1/events/stream',
    config: needsWorkspaceAsked('events:read'),
    schema: {
      tags,
      summary: 'Events as they are committed, as server-sent events',
      description:
        'In the order of commits, each with an `id`: whoever comes back with the last one in the header `Last-Event-ID` (or, the first time, in `lastEventId`) goes on behind it; without one it begins with what is committed from now on. A comment line keeps a silent connection open.',
      querystring: z.strictObject({
        ...ofWorkspace,
        type: typeList
          .optional()
          .describe('Types and patterns, with commas between them: `order.paid,user.*`; all by default'),
        lastEventId: streamPosition.optional(),
      }),
      headers: z.object({ 'last-event-id': streamPosition.optional() }),
      produces: ['text/event-stream'],
      response: { 200: z.instanceof(Readable) },
    },
    handler: async (request, reply) => {
      const workspaceId = (await workspaceIfAsked(request, workspaces))?.id;
      const { type: types, lastEventId } = request.query;
      const after = request.headers['last-event-id'] ?? lastEventId;
      const signal = untilGone(request, reply, { closing, heartbeatMs });
      const source = sent(events.follow({ types, workspaceId }, { after, signal }));
      return reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .send(
          Readable.from(eventStream(source, { signal, heartbeatMs, format }), { objectMode: false, encoding: 'utf8' }),
        );
    },
  });
};

/** Publishing events, their history, and following them. */
export const addEventRoutes = (app: Api, parts: RouteParts): void => {
  for (const add of [addPublish, addHistory, addStream]) add(app, parts);
};
