import type { FastifyRequest } from 'fastify';
import type { WorkspaceService } from '../../domain/workspaces/service.ts';
import type { Workspace } from '../../domain/workspaces/types.ts';
import { AppError, validationError } from '../../lib/errors/app-error.ts';
import { principalOf } from './principal-of.ts';

/**
 * The workspace of that name or id, if the key may work in it. A key bound to another workspace is refused without a look
 * whether this one exists.
 * @throws AppError NOT_FOUND, FORBIDDEN.
 */
const workspaceNamed = async (
  request: FastifyRequest,
  name: string,
  workspaces: WorkspaceService,
): Promise<Workspace> => {
  const bound = principalOf(request).workspaceId;
  if (bound === undefined) return workspaces.get(name);
  const own = await workspaces.get(bound);
  if (name === own.name || name.toLowerCase() === own.id) return own;
  throw new AppError('FORBIDDEN', 'the key is bound to another workspace', {});
};

/** The workspace that `:ws` names. @throws AppError NOT_FOUND, FORBIDDEN. */
export const workspaceOf = (
  request: FastifyRequest<{ Params: { readonly ws: string } }>,
  workspaces: WorkspaceService,
): Promise<Workspace> => workspaceNamed(request, request.params.ws, workspaces);

/**
 * The workspace that `workspace` in the query names; left out, that of the key.
 * @throws AppError VALIDATION_ERROR when neither names one, NOT_FOUND, FORBIDDEN.
 */
export const workspaceAsked = async (
  request: FastifyRequest<{ Querystring: { readonly workspace?: string | undefined } }>,
  workspaces: WorkspaceService,
): Promise<Workspace> => {
  const name = request.query.workspace ?? principalOf(request).workspaceId;
  if (name !== undefined) return workspaceNamed(request, name, workspaces);
  throw validationError('the query', [{ path: 'workspace', message: 'is needed: the name or id of a workspace' }]);
};

/**
 * The workspace that `workspace` in the query names; left out, that of the key, and for a key without one none.
 * @throws AppError NOT_FOUND, FORBIDDEN.
 */
export const workspaceIfAsked = async (
  request: FastifyRequest<{ Querystring: { readonly workspace?: string | undefined } }>,
  workspaces: WorkspaceService,
): Promise<Workspace | undefined> => {
  const name = request.query.workspace ?? principalOf(request).workspaceId;
  return name === undefined ? undefined : workspaceNamed(request, name, workspaces);
};
