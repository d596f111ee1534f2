import type { FastifyRequest } from 'fastify';
import { may, type Principal } from '../../domain/access/types.ts';
import { AppError, validationError } from '../../lib/errors/app-error.ts';

/** Who sends this request. */
export const principalOf = (request: FastifyRequest): Principal => {
  if (request.principal) return request.principal;
  throw new AppError('UNAUTHENTICATED', 'a key is needed: Authorization: Bearer <key>', {});
};

const actorRule = /^[^\p{C}]{1,200}$/u;

/**
 * In whose name a change is made: the key's user, else the key itself; `local` without keys; or whom `X-Treadle-Actor`
 * names, for keys with the scope `actors:assert`.
 * @throws AppError FORBIDDEN without that scope, VALIDATION_ERROR for a header that is no name.
 */
export const actorOf = (request: FastifyRequest): string => {
  const principal = principalOf(request);
  const asserted = request.headers['x-treadle-actor'];
  if (asserted === undefined) return principal.userId ?? principal.id;
  if (!may(principal, 'actors:assert')) {
    throw new AppError('FORBIDDEN', 'the key lacks the scope actors:assert, which X-Treadle-Actor needs', {
      scope: 'actors:assert',
    });
  }
  if (typeof asserted !== 'string' || !actorRule.test(asserted)) {
    throw validationError('the headers', [
      { path: 'x-treadle-actor', message: 'must be one name of 1 to 200 characters' },
    ]);
  }
  return asserted;
};
