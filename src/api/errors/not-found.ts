import type { FastifyInstance } from 'fastify';
import { AppError } from '../../lib/errors/app-error.ts';

interface KnownRoute {
  readonly pattern: RegExp;
  readonly methods: readonly string[];
}

const toPattern = (url: string): RegExp =>
  new RegExp(
    `^${url
      .split('/')
      .map((part) =>
        part.startsWith(':') ? '[^/]+' : part === '*' ? '.*' : part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`),
      )
      .join('/')}$`,
  );

/**
 * Answers addresses that nothing is at with NOT_FOUND, and those that take other methods with METHOD_NOT_ALLOWED and an
 * `Allow` header. Must be called before the routes are added.
 */
export const answerUnknownRoutes = (app: FastifyInstance): void => {
  const routes: KnownRoute[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({ pattern: toPattern(url), methods: [method].flat() });
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?', 1);
    const allowed = new Set(routes.filter((route) => route.pattern.test(path)).flatMap((route) => route.methods));
    if (allowed.size === 0 || allowed.has(request.method)) {
      throw new AppError('NOT_FOUND', 'there is nothing at this address', { entity: 'route' });
    }
    void reply.header('allow', [...allowed].toSorted().join(', '));
    throw new AppError('METHOD_NOT_ALLOWED', `this address takes ${[...allowed].toSorted().join(', ')}`, {});
  });
};
