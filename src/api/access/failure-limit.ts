import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../../lib/errors/app-error.ts';

/** Counts failed attempts to give a key, by address. */
export interface FailureLimit {
  /** @throws AppError RATE_LIMITED when there were too many in a minute. */
  count(request: FastifyRequest): Promise<void>;
}

/** Needs @fastify/rate-limit to be registered. */
export const createFailureLimit = (app: FastifyInstance, perMinute: number): FailureLimit => {
  const limit = app.createRateLimit({
    max: perMinute,
    timeWindow: 60_000,
    keyGenerator: (request) => `failed:${request.ip}`,
    allowList: [],
  });
  return {
    count: async (request) => {
      const failures = await limit(request);
      if (!failures.isAllowed && failures.isExceeded) {
        throw new AppError('RATE_LIMITED', 'too many failed attempts', { retryAfterMs: failures.ttl });
      }
    },
  };
};
