import { Readable } from 'node:stream';
import { z } from 'zod';
import type { PresenceNews } from '../../domain/presence/types.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { eventStream, untilGone, type ServerSentEvent } from '../events/event-stream.ts';
import { documentParams, presenceEvent, presenceSnapshot } from '../schemas/presence.ts';

const headers = z.object({
  'last-event-id': z.string().optional().describe('The id of the last event that was heard'),
});
const sequenceForm = /^\d{1,16}$/;

/** What a client last heard of, as it says when it comes back; undefined when it never did, or says nothing sensible. */
const lastHeard = (header: string | undefined): number | undefined =>
  header !== undefined && sequenceForm.test(header) && Number.isSafeInteger(Number(header))
    ? Number(header)
    : undefined;

const toSent = (news: PresenceNews): ServerSentEvent => {
  if (news.kind === 'snapshot') {
    const { reason, snapshot } = news;
    const data = JSON.stringify(z.encode(presenceSnapshot, { reason, ...snapshot }));
    return { id: String(snapshot.sequence), event: 'snapshot', data };
  }
  const { type, ...event } = news.event;
  return { id: String(event.sequence), event: type, data: JSON.stringify(z.encode(presenceEvent, event)) };
};

/** Who joins and leaves, as it happens. */
export const addPresenceEventsRoute = (app: Api, { platform, closing, heartbeatMs }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/presence/:documentId/events',
    config: needs('presence:read'),
    schema: {
      tags: ['presence'],
      summary: 'Who joins and leaves a document, as server-sent events',
      description:
        'Event `snapshot` first: who is there; then `joined` and `left`. Ids are sequences: a client that comes back with `Last-Event-ID` hears what it missed, or a `snapshot` whose `reason` is `missed` when that is not known any more. A snapshot takes the place of all that was heard before. A comment line keeps a silent connection open.',
      params: documentParams,
      headers,
      produces: ['text/event-stream'],
      response: { 200: z.instanceof(Readable) },
    },
    handler: async (request, reply) => {
      const signal = untilGone(request, reply, { closing, heartbeatMs });
      const after = lastHeard(request.headers['last-event-id']);
      const news = await platform.presence.watch(request.params.documentId, { after, signal });
      const events = eventStream(news, { signal, heartbeatMs, format: toSent });
      return reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .send(Readable.from(events, { objectMode: false, encoding: 'utf8' }));
    },
  });
};
