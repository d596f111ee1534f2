import { z } from 'zod';
import { presenceTtlMs } from '../../domain/presence/service.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { pageQuery, wholeList, wholeListOf } from '../schemas/page.ts';
import {
  connectionBody,
  documentParams,
  joined,
  placeParams,
  presenceUsers,
  userDocument,
  userParams,
} from '../schemas/presence.ts';
import { addPresenceEventsRoute } from './presence-events.ts';

const notThere = (userId: string): AppError =>
  new AppError('NOT_FOUND', 'the user is not in the document by this connection, or not any more', {
    entity: 'presence',
    entityId: userId,
  });

const addReadingRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/presence/:documentId',
    config: needs('presence:read'),
    schema: {
      tags: ['presence'],
      summary: 'Who is in a document, in the order in which they joined',
      params: documentParams,
      querystring: z.strictObject(pageQuery),
      response: { 200: presenceUsers },
    },
    handler: (request) => platform.presence.getActiveUsers(request.params.documentId, request.query),
  });
  app.route({
    method: 'GET',
    url: '/v1/users/:userId/documents',
    config: needs('presence:read'),
    schema: {
      tags: ['presence'],
      summary: 'The documents that a user is in, those last seen in first',
      description: 'Up to a thousand.',
      params: userParams,
      response: { 200: wholeListOf(userDocument) },
    },
    handler: async (request) => wholeList(await platform.presence.getUserDocuments(request.params.userId)),
  });
};

const addConnectionRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'PUT',
    url: '/v1/presence/:documentId/:userId',
    config: needs('presence:write'),
    schema: {
      tags: ['presence'],
      summary: 'A connection of a user is in a document',
      description: 'One that was there lives on. Who must not be brought back sends heartbeats with PATCH.',
      params: placeParams,
      body: connectionBody,
      response: { 200: joined },
    },
    handler: async (request) => {
      const { documentId, userId } = request.params;
      const { socketId, activity } = request.body;
      const answer = await platform.presence.addUser(documentId, userId, socketId, activity);
      return { ...answer, heartbeatWithinMs: presenceTtlMs };
    },
  });
  app.route({
    method: 'PATCH',
    url: '/v1/presence/:documentId/:userId',
    config: needs('presence:write'),
    schema: {
      tags: ['presence'],
      summary: 'A heartbeat of a connection, and what its user does',
      description: '404 when it left, was taken out or was silent for half an hour: nobody is brought back by it.',
      params: placeParams,
      body: connectionBody,
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const { documentId, userId } = request.params;
      const { socketId, activity } = request.body;
      if (!(await platform.presence.updateUserActivity(documentId, userId, socketId, activity))) throw notThere(userId);
      return reply.code(204).send(null);
    },
  });
  app.route({
    method: 'DELETE',
    url: '/v1/presence/:documentId/:userId',
    config: needs('presence:write'),
    schema: {
      tags: ['presence'],
      summary: 'Take one connection of a user out of a document, or all of them',
      params: placeParams,
      querystring: z.strictObject({ socketId: connectionBody.shape.socketId.optional() }),
      response: { 204: z.null() },
    },
    handler: async (request, reply) => {
      const { documentId, userId } = request.params;
      if (!(await platform.presence.removeUser(documentId, userId, request.query.socketId))) throw notThere(userId);
      return reply.code(204).send(null);
    },
  });
};

/** Who is in which document. */
export const addPresenceRoutes = (app: Api, parts: RouteParts): void => {
  addReadingRoutes(app, parts);
  addConnectionRoutes(app, parts);
  addPresenceEventsRoute(app, parts);
};
