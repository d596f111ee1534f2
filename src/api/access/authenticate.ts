import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { LoginService } from '../../domain/access/login-service.ts';
import { scopes } from '../../domain/access/scopes.ts';
import type { KeyService } from '../../domain/access/service.ts';
import { may, type Principal } from '../../domain/access/types.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import type { FailureLimit } from './failure-limit.ts';
import { checkLocalRequest, checkSameOrigin, isLoopbackHost } from '../../lib/http/loopback.ts';
import type { RouteAccess } from './route-access.ts';

export const loginCookie = 'treadle_login';

export interface AccessParts {
  readonly keys: KeyService;
  readonly logins: LoginService;
  /** The address the server binds to. */
  readonly host: string;
  readonly failures: FailureLimit;
}

/** Who asks while there are no keys: whoever sits at this machine. */
const local: Principal = { id: 'local', name: 'local', scopes: [...scopes], workspaceId: undefined, userId: undefined };

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

const bearerOf = (header: string | undefined): string | undefined => {
  if (header === undefined) return undefined;
  const token = /^Bearer +([\w~+/.=-]{1,512})$/i.exec(header)?.[1];
  if (token === undefined) {
    throw new AppError('UNAUTHENTICATED', 'the Authorization header must be: Bearer <key>', {});
  }
  return token;
};

const identify = async (parts: AccessParts, request: FastifyRequest): Promise<Principal> => {
  if (!(await parts.keys.hasKeys()) && isLoopbackHost(parts.host)) {
    checkLocalRequest(request.headers);
    return local;
  }
  const secret = bearerOf(request.headers.authorization);
  if (secret !== undefined) {
    const principal = await parts.keys.authenticate(secret);
    if (principal) return principal;
    throw new AppError('UNAUTHENTICATED', 'the key is unknown or was revoked', {});
  }
  const token = request.cookies[loginCookie];
  if (token !== undefined) {
    if (!safeMethods.has(request.method)) {
      const site = request.headers['sec-fetch-site'];
      checkSameOrigin({ ...request.headers, 'sec-fetch-site': typeof site === 'string' ? site : undefined });
    }
    const principal = await parts.logins.authenticate(token);
    if (principal) return principal;
    throw new AppError('UNAUTHENTICATED', 'the login has ended', {});
  }
  throw new AppError('UNAUTHENTICATED', 'a key is needed: Authorization: Bearer <key>', {});
};

const authorize = (access: Exclude<RouteAccess, { kind: 'open' }>, principal: Principal): void => {
  if (access.kind === 'signed-in') return;
  if (!may(principal, access.scope)) {
    throw new AppError('FORBIDDEN', `the key lacks the scope ${access.scope}`, { scope: access.scope });
  }
  if (principal.workspaceId !== undefined && access.workspace === 'none') {
    throw new AppError('FORBIDDEN', 'the key is bound to a workspace, and this route names none', {});
  }
};

const gaveCredentials = ({ headers, cookies }: FastifyRequest): boolean =>
  headers.authorization !== undefined || cookies[loginCookie] !== undefined;

const wantsPage = (request: FastifyRequest): boolean =>
  request.method === 'GET' && (request.headers.accept ?? '').includes('text/html');

/** Sends a browser that opened a page without a login to the login page, and back afterwards. */
const redirectToLogin = (request: FastifyRequest, reply: FastifyReply): FastifyReply =>
  reply.header('cache-control', 'no-store').redirect(`/login?next=${encodeURIComponent(request.url)}`, 303);

/**
 * Asks every request who sends it, and whether they may. A route that does not say who may use it is closed to everybody.
 */
export const authenticateRequests = (app: FastifyInstance, parts: AccessParts): void => {
  app.decorateRequest('principal', undefined);
  app.decorateRequest('staysAllowed', undefined);
  app.addHook('onRequest', async (request, reply) => {
    const { access } = request.routeOptions.config;
    if (request.is404 || access?.kind === 'open') return;
    if (!access) throw new AppError('FORBIDDEN', 'nobody may use this address', {});
    request.staysAllowed = async () => {
      try {
        authorize(access, await identify(parts, request));
        return true;
      } catch (error) {
        // Of a Postgres that is away nobody is put out.
        return !(error instanceof AppError && (error.code === 'UNAUTHENTICATED' || error.code === 'FORBIDDEN'));
      }
    };
    try {
      request.principal = await identify(parts, request);
      authorize(access, request.principal);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'UNAUTHENTICATED') throw error;
      if (!('browser' in access) || !wantsPage(request)) {
        if (gaveCredentials(request)) await parts.failures.count(request);
        throw error;
      }
      await redirectToLogin(request, reply);
    }
  });
};
