import { z } from 'zod';
import { AppError } from '../../lib/errors/app-error.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { wholeList, wholeListOf } from '../schemas/page.ts';
import {
  createdSession,
  listedSession,
  session,
  sessionBody,
  sessionHandle,
  sessionId,
  sessionUserId,
} from '../schemas/session.ts';

/** Without the id, which is a secret. */
const unknownSession = (): AppError =>
  new AppError('NOT_FOUND', 'there is no such session, or not any more', { entity: 'session' });

const addSessionRoutesById = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'POST',
    url: '/v1/sessions',
    config: needs('sessions:write'),
    schema: {
      tags: ['sessions'],
      summary: 'Begin a session',
      description:
        'It ends 24 hours after its last access, and after 30 days at the latest. Only a hash of its id is kept.',
      body: sessionBody,
      response: { 201: createdSession },
    },
    handler: async (request, reply) => {
      const { userId, data } = request.body;
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send(await platform.sessions.createSession(userId, data));
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/sessions/:id',
    config: needs('sessions:read'),
    schema: {
      tags: ['sessions'],
      summary: 'The session with this id, which lives on for it',
      params: z.object({ id: sessionId }),
      response: { 200: session },
    },
    handler: async (request, reply) => {
      const found = await platform.sessions.getSession(request.params.id);
      if (!found) throw unknownSession();
      return reply.header('cache-control', 'no-store').send(found);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/sessions/:id',
    config: needs('sessions:write'),
    schema: {
      tags: ['sessions'],
      summary: 'End a session',
      params: z.object({ id: sessionId }),
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      if (!(await platform.sessions.destroySession(request.params.id))) throw unknownSession();
      return reply.code(204).send(null);
    },
  });
};

const addSessionRoutesByUser = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/users/:userId/sessions',
    config: needs('sessions:read'),
    schema: {
      tags: ['sessions'],
      summary: 'The sessions of a user, the last used first',
      description: 'Up to a thousand, by their handles, which open nothing: their ids are kept nowhere.',
      params: z.object({ userId: sessionUserId }),
      response: { 200: wholeListOf(listedSession) },
    },
    handler: async (request) => wholeList(await platform.sessions.listUserSessions(request.params.userId)),
  });
  app.route({
    method: 'DELETE',
    url: '/v1/users/:userId/sessions',
    config: needs('sessions:write'),
    schema: {
      tags: ['sessions'],
      summary: 'End all sessions of a user',
      params: z.object({ userId: sessionUserId }),
      response: { 200: z.object({ destroyed: z.number().describe('How many there were') }) },
    },
    handler: async (request) => ({ destroyed: await platform.sessions.destroyAllUserSessions(request.params.userId) }),
  });
  app.route({
    method: 'DELETE',
    url: '/v1/users/:userId/sessions/:handle',
    config: needs('sessions:write'),
    schema: {
      tags: ['sessions'],
      summary: 'End one session of a user, by its handle',
      params: z.object({ userId: sessionUserId, handle: sessionHandle }),
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const { userId, handle } = request.params;
      if (!(await platform.sessions.destroyUserSession(userId, handle))) throw unknownSession();
      return reply.code(204).send(null);
    },
  });
};

/** Sessions of an app's users. */
export const addSessionRoutes = (app: Api, parts: RouteParts): void => {
  addSessionRoutesById(app, parts);
  addSessionRoutesByUser(app, parts);
};
