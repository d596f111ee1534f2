import type { FastifyRequest } from 'fastify';
import type { WorkspaceService } from '../../domain/workspaces/service.ts';
import type { Workspace } from '../../domain/workspaces/types.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { principalOf } from './principal-of.ts';

/**
 * The workspace that `:ws` names, by name or id, if the key may work in it. A key bound to another workspace is refused
 * without a look whether this one exists.
 * @throws AppError NOT_FOUND, FORBIDDEN.
 */
export const workspaceOf = async (
  request: FastifyRequest<{ Params: { readonly ws: string } }>,
  workspaces: WorkspaceService,
): Promise<Workspace> => {
  const { ws } = request.params;
  const bound = principalOf(request).workspaceId;
  if (bound === undefined) return workspaces.get(ws);
  const own = await workspaces.get(bound);
  if (ws === own.name || ws.toLowerCase() === own.id) return own;
  throw new AppError('FORBIDDEN', 'the key is bound to another workspace', {});
};
