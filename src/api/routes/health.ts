import { z } from 'zod';
import { serializeError } from '../../lib/errors/classify.ts';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Platform } from '../../platform.ts';
import { needs, openAccess } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';

const checkTimeoutMs = 2_000;

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

const pool = z.object({ size: z.number(), active: z.number(), idle: z.number(), waiting: z.number() });
const status = z.enum(['healthy', 'degraded', 'unhealthy']);
const reasons = z.array(z.string()).readonly();

const database = z.object({
  status,
  reason: z.string().nullable(),
  connected: z.boolean(),
  responseMs: z.number().nullable(),
  pool,
  timestamp: z.date(),
});

const bytes = z.number().nullable();
const serverFacts = z.object({
  version: z.string(),
  startedAt: z.date(),
  sizeBytes: z.number(),
  connections: z.number(),
  maxConnections: z.number(),
  isReplica: z.boolean(),
  replayLagMs: z.number().nullable(),
  replicas: z.array(z.object({ name: z.string(), state: z.string(), lagMs: z.number().nullable() })).readonly(),
  slots: z
    .array(z.object({ name: z.string(), active: z.boolean(), retainedBytes: bytes, walStatus: z.string().nullable() }))
    .readonly(),
  runningQueries: z
    .array(z.object({ statement: z.string(), runningMs: z.number(), application: z.string() }))
    .readonly(),
});

const detailed = z
  .object({
    status,
    reasons,
    connected: z.boolean(),
    responseTimeMs: z.number().nullable(),
    details: z.object({
      connectionPool: pool,
      slowQueries: z.array(z.object({ statement: z.string(), durationMs: z.number(), at: z.date() })).readonly(),
      errors: z.record(z.string(), z.number()),
      performance: z.object({
        queries: z.number(),
        averageMs: z.number().nullable(),
        p95Ms: z.number().nullable(),
        p99Ms: z.number().nullable(),
      }),
      readReplicas: z
        .array(
          z.object({
            name: z.string(),
            status: z.enum(['ready', 'behind', 'away']),
            lagMs: z.number().nullable(),
            reason: z.string().nullable(),
          }),
        )
        .readonly(),
      database: serverFacts.nullable(),
    }),
    timestamp: z.date(),
  })
  .meta({ id: 'DatabaseHealth' });

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

const addDatabase = (app: Api, { platform }: RouteParts): void => {
  const { databaseHealth } = platform;
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
      const { connected, reasons: why, responseTimeMs, details, ...seen } = await databaseHealth.check();
      return reply.code(connected ? 200 : 503).send({
        status: seen.status,
        reason: why.length === 0 ? null : why.join('; '),
        connected,
        responseMs: responseTimeMs === null ? null : Math.round(responseTimeMs),
        pool: details.connectionPool,
        timestamp: seen.timestamp,
      });
    },
  });
  app.route({
    method: 'GET',
    url: '/health/db/detailed',
    config: needs('health:read'),
    schema: {
      tags: ['health'],
      summary: 'The same with slow statements, errors, times, and what the server says of itself',
      description: 'Statements are shown without values.',
      response: { 200: detailed, 503: detailed },
    },
    handler: async (_request, reply) => {
      const health = await databaseHealth.check();
      return reply.code(health.connected ? 200 : 503).send(health);
    },
  });
  app.route({
    method: 'GET',
    url: '/health/db/report',
    config: needs('health:read'),
    schema: { tags: ['health'], summary: 'The same in words', produces: ['text/plain'], response: { 200: z.string() } },
    handler: async (_request, reply) => {
      await databaseHealth.check();
      return reply.type('text/plain; charset=utf-8').send(databaseHealth.generateReport());
    },
  });
};

/** What load balancers and operators ask. */
export const addHealthRoutes = (app: Api, parts: RouteParts): void => {
  addProbes(app, parts);
  addDatabase(app, parts);
};
