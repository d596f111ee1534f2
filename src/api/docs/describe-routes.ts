import type { FastifySchema, RouteOptions } from 'fastify';
import type { RouteAccess } from '../access/route-access.ts';
import type { Api } from '../api.ts';
import { errorAnswer } from '../schemas/error.ts';

const boundKeys = {
  none: 'Not for keys bound to a workspace.',
  path: 'Keys bound to a workspace may use it for that one.',
  query: 'Keys bound to a workspace may use it for that one, which `workspace` need not name then.',
  tenant: 'Keys bound to a workspace may use it for the jobs of that one.',
} as const;

const describeAccess = (access: RouteAccess): string => {
  if (access.kind === 'open') return 'Open to everybody.';
  if (access.kind === 'signed-in') return 'Needs any key.';
  return `Needs the scope \`${access.scope}\`. ${boundKeys[access.workspace]}`;
};

const errorStatuses = ({ method, schema, config }: RouteOptions): readonly number[] => {
  const writes = [method].flat().some((name) => name !== 'GET' && name !== 'HEAD');
  const access = config?.access;
  const guarded = access?.kind !== 'open';
  const namesWorkspace = access?.kind === 'scope' && access.workspace === 'query';
  return [
    400,
    ...(guarded ? [401, 403] : []),
    ...(schema?.params || namesWorkspace ? [404] : []),
    ...(writes ? [409] : []),
    ...(schema?.body ? [413, 415] : []),
    429,
    500,
    503,
  ];
};

const withErrors = (schema: FastifySchema, statuses: readonly number[]): Record<string, unknown> => ({
  ...Object.fromEntries(statuses.map((status) => [status, errorAnswer])),
  ...(typeof schema.response === 'object' ? schema.response : {}),
});

/**
 * Says of every documented route what it needs and how it can fail, from its access rule and its schemas. Must be called
 * before the routes are added.
 */
export const describeRoutes = (app: Api): void => {
  app.addHook('onRoute', (route) => {
    const { schema } = route;
    const access = route.config?.access;
    if (!schema || schema.hide === true || !access) return;
    const description = [schema.description, describeAccess(access)].filter(Boolean).join('\n\n');
    route.schema = {
      ...schema,
      description,
      ...(access.kind === 'open' ? {} : { security: [{ key: [] }, { login: [] }] }),
      ...(access.kind === 'scope' ? { 'x-scope': access.scope } : {}),
      response: withErrors(schema, errorStatuses(route)),
    };
  });
};
