import { randomUUID } from 'node:crypto';
import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import Fastify, { LogController, type FastifyBaseLogger } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { LoginService } from '../domain/access/login-service.ts';
import { KeyService } from '../domain/access/service.ts';
import { AppError } from '../lib/errors/app-error.ts';
import type { Platform } from '../platform.ts';
import { authenticateRequests } from './access/authenticate.ts';
import { bindFault, checkBindAddress } from './access/bind-address.ts';
import { createFailureLimit } from './access/failure-limit.ts';
import type { Api, RouteParts } from './api.ts';
import { addBoard } from './board/add-board.ts';
import { acceptJsonOnly } from './body/json-only.ts';
import { useZodSchemas } from './body/zod-compilers.ts';
import { addDocsPage, collectDocs } from './docs/add-docs.ts';
import { describeRoutes } from './docs/describe-routes.ts';
import { answerClientError } from './errors/client-error.ts';
import { createErrorReply } from './errors/error-reply.ts';
import { answerUnknownRoutes } from './errors/not-found.ts';
import { addHome } from './home/add-home.ts';
import { addLogin } from './login/add-login.ts';
import { readFromReplicas } from './access/read-after.ts';
import { logRequests } from './request-log.ts';
import { traceRequests } from './trace-requests.ts';
import { addCacheRoutes } from './routes/cache.ts';
import { addCollectionRoutes } from './routes/collections.ts';
import { addDeadLetterRoutes } from './routes/dead-letters.ts';
import { addEventConsumerRoutes } from './routes/event-consumers.ts';
import { addEventRoutes } from './routes/events.ts';
import { addFlowRoutes } from './routes/flows.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addMetricsRoute } from './routes/metrics.ts';
import { addJobActionRoutes } from './routes/job-actions.ts';
import { addJobEventRoutes } from './routes/job-events.ts';
import { addJobRoutes } from './routes/jobs.ts';
import { addKnowledgeRoutes } from './routes/knowledge.ts';
import { addLimitRoutes } from './routes/limits.ts';
import { addLinkRoutes } from './routes/links.ts';
import { addNodeRoutes } from './routes/nodes.ts';
import { addPresenceRoutes } from './routes/presence.ts';
import { addQueueRoutes } from './routes/queues.ts';
import { addSagaRoutes } from './routes/sagas.ts';
import { addScheduleRoutes } from './routes/schedules.ts';
import { addSearchAnalyticsRoutes } from './routes/search-analytics.ts';
import { addSearchRoutes } from './routes/search.ts';
import { addSessionRoutes } from './routes/sessions.ts';
import { addTagRoutes } from './routes/tags.ts';
import { addWorkspaceRoutes } from './routes/workspaces.ts';
import { addSearchPage } from './search-page/add-search-page.ts';

export interface ServerOptions {
  /** Requests a minute for one key, 60,000 by default. There is no limit while there are no keys. */
  readonly requestsPerMinute?: number;
  /** Failed attempts to give a key a minute from one address, 100 by default. */
  readonly failuresPerMinute?: number;
  /** How often a silent event stream says that it lives, 15 s by default. */
  readonly heartbeatMs?: number;
}

export interface Server {
  readonly app: Api;
  readonly keys: KeyService;
  /**
   * Binds to the configured address and answers where.
   * @throws AppError CONFIGURATION_ERROR when the address or the port cannot be used, naming the variable.
   */
  listen(): Promise<string>;
  /** Takes no more requests, ends event streams, waits for the answers under way. */
  close(): Promise<void>;
}

const requestIdRule = /^[\w.:-]{1,100}$/;

const createApp = (platform: Platform): Api => {
  const { maxBodyBytes } = platform.config.http;
  const logger: FastifyBaseLogger = platform.log;
  // What Fastify says of itself has no event name of its own.
  const ownLogger: FastifyBaseLogger = platform.log.child({ event: 'http.server' }, { level: 'warn' });
  const answerError = createErrorReply(maxBodyBytes);
  const app = Fastify({
    loggerInstance: ownLogger,
    childLoggerFactory: () => logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    requestIdHeader: false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && requestIdRule.test(given) ? given : randomUUID();
    },
    // Long enough for a slow uplink, short enough that half requests do not pile up.
    requestTimeout: 60_000,
    routerOptions: { maxParamLength: 300, ignoreTrailingSlash: true },
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
    clientErrorHandler: answerClientError,
  }).withTypeProvider<ZodTypeProvider>();
  app.setErrorHandler(answerError);
  useZodSchemas(app);
  acceptJsonOnly(app);
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id);
  });
  return app;
};

/** Scripts, styles and fonts come from this server alone; pages may set styles inline, which Bull Board does. */
const contentSecurityPolicy = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'self'"],
    baseUri: ["'self'"],
    fontSrc: ["'self'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
    imgSrc: ["'self'", 'data:'],
    objectSrc: ["'none'"],
    scriptSrc: ["'self'"],
    scriptSrcAttr: ["'none'"],
    styleSrc: ["'self'", "'unsafe-inline'"],
    upgradeInsecureRequests: null,
  },
};

const addProtection = async (app: Api, requestsPerMinute: number): Promise<void> => {
  await app.register(helmet, { contentSecurityPolicy });
  await app.register(cookie);
  await app.register(rateLimit, {
    max: requestsPerMinute,
    timeWindow: 60_000,
    keyGenerator: (request) => request.principal?.id ?? `address:${request.ip}`,
    allowList: (request) =>
      request.principal?.id === 'local' || request.routeOptions.url?.startsWith('/health/') === true,
    errorResponseBuilder: (_request, { ttl }) =>
      new AppError('RATE_LIMITED', 'too many requests in a minute', { retryAfterMs: ttl }),
  });
};

const addRoutes = (app: Api, parts: RouteParts): void => {
  addJobRoutes(app, parts);
  addFlowRoutes(app, parts);
  addJobActionRoutes(app, parts);
  addJobEventRoutes(app, parts);
  addQueueRoutes(app, parts);
  addLimitRoutes(app, parts);
  addDeadLetterRoutes(app, parts);
  addScheduleRoutes(app, parts);
  addSagaRoutes(app, parts);
  addEventRoutes(app, parts);
  addEventConsumerRoutes(app, parts);
  addWorkspaceRoutes(app, parts);
  addKnowledgeRoutes(app, parts);
  addTagRoutes(app, parts);
  addCollectionRoutes(app, parts);
  addNodeRoutes(app, parts);
  addLinkRoutes(app, parts);
  addSearchRoutes(app, parts);
  addSearchAnalyticsRoutes(app, parts);
  addSessionRoutes(app, parts);
  addPresenceRoutes(app, parts);
  addCacheRoutes(app, parts);
  addHealthRoutes(app, parts);
  addMetricsRoute(app, parts);
};

const sweepMs = 50;

/** Node closes idle connections once, when closing begins; those whose last answer comes later are swept up here. */
const closeServer = async (app: Api): Promise<void> => {
  const sweep = setInterval(() => app.server.closeIdleConnections(), sweepMs);
  try {
    await app.close();
  } finally {
    clearInterval(sweep);
  }
};

/**
 * Builds the HTTP server of a platform; nothing listens yet.
 * @throws AppError CONFIGURATION_ERROR for a scope in TREADLE_API_KEYS that does not exist.
 */
export const createServer = async (platform: Platform, options: ServerOptions = {}): Promise<Server> => {
  const { http, apiKeys } = platform.config;
  const keys = new KeyService(platform.postgres, apiKeys);
  const logins = new LoginService(platform.postgres, keys);
  const closing = new AbortController();
  const app = createApp(platform);
  await addProtection(app, options.requestsPerMinute ?? 60_000);
  const failures = createFailureLimit(app, options.failuresPerMinute ?? 100);
  authenticateRequests(app, { keys, logins, failures, host: http.host });
  logRequests(app);
  traceRequests(app);
  readFromReplicas(app, platform.postgres.reader);
  answerUnknownRoutes(app);
  describeRoutes(app);
  await collectDocs(app, '0.1.0');
  const parts = { platform, closing: closing.signal, heartbeatMs: options.heartbeatMs ?? 15_000 };
  addRoutes(app, parts);
  await addBoard(app, parts, [platform.directJobs]);
  addHome(app);
  await addSearchPage(app);
  addLogin(app, { keys, logins, failures, workspaces: platform.workspaces });
  await addDocsPage(app);
  app.addHook('preClose', async () => closing.abort());
  await app.ready();
  return {
    app,
    keys,
    listen: async () => {
      await checkBindAddress(http.host, keys);
      try {
        return await app.listen({ host: http.host, port: http.port });
      } catch (error) {
        throw bindFault(error, http);
      }
    },
    close: () => closeServer(app),
  };
};
