import { z } from 'zod';
import { serializeError } from '../../lib/errors/classify.ts';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Platform } from '../../platform.ts';
import { needs, openAccess } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';

const checkTimeoutMs = 2_000;
const slowMs = 500;

const liveness = z.object({
  status: z.enum(['alive', 'stuck']),
  loops: z
    .array(z.object({ name: z.string(), silentMs: z.number(), limitMs: z.number(), alive: z.boolean() }))
    .readonly(),
});

const readiness = z.object({
  status: z.enum(['ready', 'not-ready']),
  checks: z.object({ postgres: z.enum(['ok', 'unreachable']) }),
});

const database = z.object({
  status: z.enum(['healthy', 'degraded', 'unhealthy']),
  reason: z.string().nullable(),
  responseMs: z.number().nullable(),
  pool: z.object({ size: z.number(), active: z.number(), idle: z.number(), waiting: z.number() }),
});

const pingMs = async (platform: Platform): Promise<number | undefined> => {
  const startedAt = performance.now();
  try {
    await withTimeout(platform.postgres.query('SELECT 1'), checkTimeoutMs, 'Postgres');
    return Math.round(performance.now() - startedAt);
  } catch (error) {
    platform.log.warn({ event: 'health.postgres-unreachable', code: serializeError(error).code });
    return undefined;
  }
};

const addProbes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/health/live',
    config: openAccess,
    schema: {
      tags: ['health'],
      summary: 'Whether the loops of this process turn',
      description: 'Answers 503 when one stands still: restart the process then.',
      response: { 200: liveness, 503: liveness },
    },
    handler: async (_request, reply) => {
      const loops = platform.loops.report();
      const alive = loops.every((loop) => loop.alive);
      return reply.code(alive ? 200 : 503).send({ status: alive ? 'alive' : 'stuck', loops });
    },
  });
  app.route({
    method: 'GET',
    url: '/health/ready',
    config: openAccess,
    schema: {
      tags: ['health'],
      summary: 'Whether requests should be sent here',
      response: { 200: readiness, 503: readiness },
    },
    handler: async (_request, reply) => {
      const reachable = (await pingMs(platform)) !== undefined;
      return reply.code(reachable ? 200 : 503).send({
        status: reachable ? 'ready' : 'not-ready',
        checks: { postgres: reachable ? 'ok' : 'unreachable' },
      });
    },
  });
};

/** What load balancers and operators ask. */
export const addHealthRoutes = (app: Api, parts: RouteParts): void => {
  const { platform } = parts;
  addProbes(app, parts);
  app.route({
    method: 'GET',
    url: '/health/db',
    config: needs('health:read'),
    schema: {
      tags: ['health'],
      summary: 'How Postgres and the pool are doing',
      response: { 200: database, 503: database },
    },
    handler: async (_request, reply) => {
      const responseMs = await pingMs(platform);
      const pool = platform.postgres.getConnectionStatus();
      if (responseMs === undefined) {
        const reason = 'Postgres does not answer';
        return reply.code(503).send({ status: 'unhealthy', reason, responseMs: null, pool });
      }
      const reason =
        responseMs > slowMs
          ? `Postgres took ${responseMs} ms to answer`
          : pool.waiting > 0
            ? 'requests wait for a connection'
            : null;
      return reply.code(200).send({ status: reason === null ? 'healthy' : 'degraded', reason, responseMs, pool });
    },
  });
};
