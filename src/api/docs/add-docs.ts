import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { loginCookie } from '../access/authenticate.ts';
import { signedIn } from '../access/route-access.ts';
import type { Api } from '../api.ts';
import { createOpenApiTransform } from './openapi-transform.ts';

/** Collects the routes that are added after it into an OpenAPI 3.1 document. */
export const collectDocs = async (app: Api, version: string): Promise<void> => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Treadle',
        version,
        description:
          'Background jobs and workers for applications that keep their knowledge in Postgres. Errors are `{ "error": { "code", "message", "details", "requestId" } }`; lists take `limit` and `cursor` and answer `{ items, nextCursor, prevCursor }`.',
      },
      servers: [{ url: '/' }],
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'A key made by `treadle keys create`' },
          login: { type: 'apiKey', in: 'cookie', name: loginCookie, description: 'A login made at /login' },
        },
      },
    },
    ...createOpenApiTransform(),
  });
};

/** The OpenAPI page at `/docs`, its document at `/docs/json`. Asks for nothing remote. */
export const addDocsPage = async (app: Api): Promise<void> => {
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, ...signedIn };
    });
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { validatorUrl: null, docExpansion: 'list', deepLinking: true, tryItOutEnabled: false },
      theme: {
        title: 'Treadle API',
        css: [{ filename: 'treadle.css', content: '.swagger-ui .topbar { display: none; }' }],
      },
    });
  });
};
