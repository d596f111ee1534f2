import { z } from 'zod';
import { metricsContentType } from '../../lib/telemetry/meter.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';

/** What Prometheus scrapes. */
export const addMetricsRoute = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/metrics',
    config: needs('health:read'),
    schema: {
      tags: ['health'],
      summary: 'Metrics of this process and of the ledger, in the text format of Prometheus',
      response: { 200: z.string() },
    },
    handler: async (_request, reply) => {
      const text = await platform.meter.expose();
      return reply.serializer(String).type(metricsContentType).header('cache-control', 'no-store').send(text);
    },
  });
};
