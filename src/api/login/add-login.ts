import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { LoginService } from '../../domain/access/login-service.ts';
import type { KeyService } from '../../domain/access/service.ts';
import type { WorkspaceService } from '../../domain/workspaces/service.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { loginCookie } from '../access/authenticate.ts';
import type { FailureLimit } from '../access/failure-limit.ts';
import { checkSameOrigin } from '../../lib/http/loopback.ts';
import { principalOf } from '../access/principal-of.ts';
import { openAccess, signedIn } from '../access/route-access.ts';
import type { Api } from '../api.ts';
import { loginPage, loginScript, loginStyle } from './login-page.ts';

export interface LoginParts {
  readonly keys: KeyService;
  readonly logins: LoginService;
  readonly failures: FailureLimit;
  readonly workspaces: WorkspaceService;
}

const checkOrigin = (request: FastifyRequest): void => {
  const site = request.headers['sec-fetch-site'];
  checkSameOrigin({ ...request.headers, 'sec-fetch-site': typeof site === 'string' ? site : undefined });
};

/** A browser that speaks TLS to whatever stands before this server says so in Origin. */
const overTls = (request: FastifyRequest): boolean => request.headers.origin?.startsWith('https:') ?? false;

const files = [
  { url: '/login', type: 'text/html; charset=utf-8', content: loginPage },
  { url: '/login/login.js', type: 'text/javascript; charset=utf-8', content: loginScript },
  { url: '/login/login.css', type: 'text/css; charset=utf-8', content: loginStyle },
];

/** Logging browsers in and out: a key is given once, for a cookie that scripts cannot read and other sites cannot use. */
export const addLogin = (app: Api, { keys, logins, failures, workspaces }: LoginParts): void => {
  for (const { url, type, content } of files) {
    app.get(url, { config: openAccess, schema: { hide: true } }, (_request, reply) =>
      reply.type(type).header('cache-control', 'no-cache').send(content),
    );
  }
  app.get('/login/who', { config: signedIn, schema: { hide: true } }, async (request, reply) => {
    const { name, workspaceId } = principalOf(request);
    // The one that the key is bound to, which it may not be allowed to look up.
    const own = workspaceId === undefined ? undefined : await workspaces.find(workspaceId);
    const workspace = own ? { name: own.name, displayName: own.displayName } : null;
    return reply.header('cache-control', 'no-store').send({ name, keys: await keys.hasKeys(), workspace });
  });
  app.route({
    method: 'POST',
    url: '/login',
    config: openAccess,
    schema: { hide: true, body: z.strictObject({ key: z.string().min(1).max(512) }) },
    handler: async (request, reply) => {
      checkOrigin(request);
      if (!(await keys.hasKeys())) return reply.code(204).send();
      const login = await logins.logIn(request.body.key);
      if (!login) {
        await failures.count(request);
        throw new AppError('UNAUTHENTICATED', 'the key is unknown or was revoked', {});
      }
      return reply
        .setCookie(loginCookie, login.token, {
          path: '/',
          httpOnly: true,
          sameSite: 'strict',
          secure: overTls(request),
          expires: login.expiresAt,
        })
        .code(204)
        .send();
    },
  });
  app.post('/logout', { config: openAccess, schema: { hide: true } }, async (request, reply) => {
    checkOrigin(request);
    const token = request.cookies[loginCookie];
    if (token !== undefined) await logins.logOut(token);
    return reply.clearCookie(loginCookie, { path: '/' }).code(204).send();
  });
};
