import type { IncomingHttpHeaders } from 'node:http';
import type { KeyService } from '../domain/access/service.ts';
import { may } from '../domain/access/types.ts';
import { AppError } from '../lib/errors/app-error.ts';
import { checkLocalRequest, isLoopbackHost } from '../lib/http/loopback.ts';

/**
 * The rule of the API for `/metrics`: a key with `health:read`, or none while there are no keys and only this machine can
 * reach the port.
 * @throws AppError UNAUTHENTICATED or FORBIDDEN.
 */
export const checkScraper = async (keys: KeyService, host: string, headers: IncomingHttpHeaders): Promise<void> => {
  if (isLoopbackHost(host) && !(await keys.hasKeys())) return checkLocalRequest(headers);
  const secret = /^Bearer +([\w~+/.=-]{1,512})$/i.exec(headers.authorization ?? '')?.[1];
  const principal = secret === undefined ? undefined : await keys.authenticate(secret);
  if (!principal) throw new AppError('UNAUTHENTICATED', 'a key is needed: Authorization: Bearer <key>', {});
  if (!may(principal, 'health:read') || principal.workspaceId !== undefined) {
    throw new AppError('FORBIDDEN', 'the key lacks the scope health:read, or is bound to a workspace', {
      scope: 'health:read',
    });
  }
};
