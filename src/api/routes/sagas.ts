import { z } from 'zod';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { pageOf, pageQuery } from '../schemas/page.ts';
import { saga, sagaBody, sagaDetails, sagaName, sagaState } from '../schemas/saga.ts';

/** Steps that belong together, and are undone together. */
export const addSagaRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/sagas',
    config: needs('sagas:read'),
    schema: {
      tags: ['sagas'],
      summary: 'List sagas, newest first',
      querystring: z.strictObject({ ...pageQuery, state: sagaState.optional(), name: sagaName.optional() }),
      response: { 200: pageOf(saga) },
    },
    handler: (request) => {
      const { limit, cursor, ...filter } = request.query;
      return platform.sagas.list(filter, { limit, cursor });
    },
  });
  app.route({
    method: 'GET',
    url: '/v1/sagas/:id',
    config: needs('sagas:read'),
    schema: {
      tags: ['sagas'],
      summary: 'One saga with its input and its steps: state, attempts, result, errors, times',
      params: z.object({ id: z.uuid().describe('The id of a saga') }),
      response: { 200: sagaDetails },
    },
    handler: (request) => platform.sagas.get(request.params.id),
  });
  app.route({
    method: 'POST',
    url: '/v1/sagas',
    config: needs('sagas:write'),
    schema: {
      tags: ['sagas'],
      summary: 'Start a saga',
      description:
        'The saga is written down, with the job that runs it, when this is answered: it will end completed, compensated or failed, whatever crashes.',
      body: sagaBody,
      response: { 202: saga },
    },
    handler: async (request, reply) => {
      const { name, input, workspaceId } = request.body;
      return reply.code(202).send(await platform.sagas.startByName(name, input, { workspaceId }));
    },
  });
};
