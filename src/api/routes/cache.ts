import { validationError } from '../../lib/errors/app-error.ts';
import { needs } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { cacheMetricsAnswer, invalidateAnswer, invalidateBody } from '../schemas/cache.ts';

const expressionOf = (source: string): RegExp => {
  try {
    return new RegExp(source, 'u');
  } catch {
    throw validationError('the request', [{ path: 'regexp', message: 'is no regular expression' }]);
  }
};

const addMetrics = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'GET',
    url: '/v1/cache/metrics',
    config: needs('cache:read'),
    schema: {
      tags: ['cache'],
      summary: 'What the cache of this process was asked for, and what it holds',
      response: { 200: cacheMetricsAnswer },
    },
    handler: () => Promise.resolve({ ...platform.cache.getMetrics(), memory: platform.cache.getLocalCacheStats() }),
  });
};

const addInvalidate = (app: Api, { platform }: RouteParts): void => {
  const { cache, cacheInvalidation } = platform;
  app.route({
    method: 'POST',
    url: '/v1/cache/invalidate',
    config: needs('cache:write'),
    schema: {
      tags: ['cache'],
      summary: 'Have all processes forget entries',
      description: 'By key (with what depends on it), by tag, by a glob or by a regular expression over keys.',
      body: invalidateBody,
      response: { 200: invalidateAnswer },
    },
    handler: async (request) => {
      const { keys = [], tags = [], pattern, regexp } = request.body;
      const expression = regexp === undefined ? undefined : expressionOf(regexp);
      const reached: boolean[] = [];
      for (const key of keys) reached.push(await cacheInvalidation.invalidateByDependency(key));
      if (tags.length > 0) reached.push(await cache.invalidate({ tags }));
      if (pattern !== undefined) reached.push(await cacheInvalidation.invalidateByPattern(pattern));
      if (expression !== undefined) reached.push(await cacheInvalidation.invalidateByPattern(expression));
      return { everywhere: reached.every(Boolean) };
    },
  });
};

/** The cache, for those who operate it. */
export const addCacheRoutes = (app: Api, parts: RouteParts): void => {
  addMetrics(app, parts);
  addInvalidate(app, parts);
};
