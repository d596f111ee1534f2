import type { Scope } from '../../domain/access/scopes.ts';
import type { Principal } from '../../domain/access/types.ts';

/**
 * Who may use a route. `open`: everybody. `signed-in`: every key. Else the scope a key needs, and where the route names
 * the workspace it works in, which is what lets keys bound to one in: `path` (its `:ws`), `query` (its
 * `workspace`, that of the key by default) or `tenant` (the job's).
 */
export type RouteAccess =
  | { readonly kind: 'open' }
  | { readonly kind: 'signed-in'; readonly browser: true }
  | {
      readonly kind: 'scope';
      readonly scope: Scope;
      readonly workspace: 'path' | 'query' | 'tenant' | 'none';
      /** A browser without a login is sent to the login page. */
      readonly browser?: true;
    };

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess;
  }
  interface FastifyRequest {
    /** Who asks; undefined on routes open to everybody. */
    principal: Principal | undefined;
    /** Whether the sender may still do what was begun: the key was not revoked, the login has not ended. */
    staysAllowed: (() => Promise<boolean>) | undefined;
  }
}

export const openAccess = { access: { kind: 'open' } } as const;
export const signedIn = { access: { kind: 'signed-in', browser: true } } as const;

/** For routes that name no workspace; keys bound to one may not use them. */
export const needs = (scope: Scope) => ({ access: { kind: 'scope', scope, workspace: 'none' } }) as const;
/** For routes under `/v1/workspaces/:ws`. */
export const needsInWorkspace = (scope: Scope) => ({ access: { kind: 'scope', scope, workspace: 'path' } }) as const;
/** For routes whose query names the workspace. */
export const needsWorkspaceAsked = (scope: Scope) =>
  ({ access: { kind: 'scope', scope, workspace: 'query' } }) as const;
/** For routes about jobs, which belong to a tenant. */
export const needsOfTenant = (scope: Scope) => ({ access: { kind: 'scope', scope, workspace: 'tenant' } }) as const;
/** For pages a browser opens. */
export const needsInBrowser = (scope: Scope) =>
  ({ access: { kind: 'scope', scope, workspace: 'none', browser: true } }) as const;
