import type { FastifyInstance } from 'fastify';

const isProbe = (route = ''): boolean => route.startsWith('/health/') || route === '/metrics';

/** One line a request: who, which route, how it ended. Never the address as sent, a body or a header. */
export const logRequests = (app: FastifyInstance): void => {
  app.addHook('onResponse', async (request, reply) => {
    const { statusCode } = reply;
    const entry = {
      event: 'http.request',
      requestId: request.id,
      method: request.method,
      route: request.is404 ? null : request.routeOptions.url,
      status: statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
      principal: request.principal?.id,
    };
    if (statusCode >= 500) request.log.warn(entry);
    else if (isProbe(request.routeOptions.url)) request.log.debug(entry);
    else request.log.info(entry);
  });
  app.addHook('onRequestAbort', async (request) => {
    request.log.debug({ event: 'http.client-left', requestId: request.id, route: request.routeOptions.url });
  });
};
