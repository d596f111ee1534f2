import { z } from 'zod';
import type { LimitTarget } from '../../queues/limits/limit-store.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { limitBody, limits, queueName } from '../schemas/queue.ts';

const targetOf = ({ scope, tenant = '' }: z.output<typeof limitBody>): LimitTarget =>
  scope === 'tenant' ? { scope, tenant } : { scope };

/** How much of a queue runs at once and how often, set while it runs. */
export const addLimitRoutes = (app: Api, { platform }: RouteParts): void => {
  const params = z.object({ queue: queueName });
  app.route({
    method: 'GET',
    url: '/v1/queues/:queue/limits',
    config: needs('jobs:read'),
    schema: {
      tags: ['queues'],
      summary: 'The limits of a queue and of its tenants',
      params,
      response: { 200: limits },
    },
    handler: (request) => platform.limits.find(request.params.queue),
  });
  app.route({
    method: 'PUT',
    url: '/v1/queues/:queue/limits',
    config: needs('queues:admin'),
    schema: {
      tags: ['queues'],
      summary: 'Set a limit of a queue, of each of its tenants, or of one',
      description:
        'The limit replaces what the code says, as a whole: `{}` is none, null takes back what was set here before. Workers keep to it within moments.',
      params,
      body: limitBody,
      response: { 200: limits },
    },
    handler: async (request) => {
      const { queue } = request.params;
      await platform.limits.set(queue, targetOf(request.body), request.body.limit);
      return platform.limits.find(queue);
    },
  });
};
