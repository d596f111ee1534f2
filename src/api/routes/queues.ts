import { z } from 'zod';
import { notFound } from '../../lib/errors/app-error.ts';
import type { QueueAdmin, QueueSummary } from '../../queues/ports.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { wholeList, wholeListOf } from '../schemas/page.ts';
import { queue, queueName } from '../schemas/queue.ts';

const findQueue = async (queues: QueueAdmin, name: string): Promise<QueueSummary> => {
  const found = (await queues.list()).find((summary) => summary.name === name);
  if (!found) throw notFound('queue', name);
  return found;
};

/** Looking at queues, and stopping and starting them. */
export const addQueueRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/queues',
    config: needs('jobs:read'),
    schema: {
      tags: ['queues'],
      summary: 'Queues with their counts, latency and throughput',
      response: { 200: wholeListOf(queue) },
    },
    handler: async () => wholeList(await platform.queues.list()),
  });
  for (const action of ['pause', 'resume'] as const) {
    app.route({
      method: 'POST',
      url: `/v1/queues/:queue/${action}`,
      config: needs('queues:admin'),
      schema: {
        tags: ['queues'],
        summary: action === 'pause' ? 'Start no more jobs of a queue' : 'Start jobs of a queue again',
        params: z.object({ queue: queueName }),
        response: { 200: queue },
      },
      handler: async (request) => {
        const { name } = await findQueue(platform.queues, request.params.queue);
        await platform.queues[action](name);
        return findQueue(platform.queues, name);
      },
    });
  }
};
