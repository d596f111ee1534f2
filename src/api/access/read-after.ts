import type { FastifyInstance, FastifyRequest } from 'fastify';
import { serializeError } from '../../lib/errors/classify.ts';
import { validationError } from '../../lib/errors/app-error.ts';
import { readLsn } from '../../lib/postgres/lsn.ts';
import type { Reader } from '../../lib/postgres/reader.ts';
import { readAfterHeader } from '../../lib/http/read-after-header.ts';

const scopeOf = ({ routeOptions: { config } }: FastifyRequest): string =>
  config.access?.kind === 'scope' ? config.access.scope : '';

const onlyReads = (request: FastifyRequest): boolean => scopeOf(request).endsWith(':read');

/** Who hears that a job has ended reads what it did next. */
const tellsOfWrites = (request: FastifyRequest): boolean =>
  scopeOf(request) === 'jobs:read' || (request.method !== 'GET' && !onlyReads(request));

const positionOf = (request: FastifyRequest): string | undefined => {
  const given = request.headers[readAfterHeader];
  if (given === undefined || given === '') return undefined;
  if (typeof given === 'string' && readLsn(given) !== undefined) return given;
  throw validationError('the request', [
    { path: readAfterHeader, message: 'must be what an earlier answer had there, such as 16/B374D848' },
  ]);
};

/**
 * Lets requests that only read be answered by replicas. The answer to every other, and those that tell
 * of jobs, carry a position in `x-treadle-read-after`: a request that brings it along is shown all that was written until
 * then, by whichever process.
 */
export const readFromReplicas = (app: FastifyInstance, reader: Reader): void => {
  // Not before: the body is read by then, after which the context stays.
  app.addHook('preHandler', (request, _reply, done) => {
    if (!onlyReads(request)) return done();
    try {
      reader.session({ after: positionOf(request) }, done);
    } catch (error) {
      done(error instanceof Error ? error : new Error('the request cannot be read', { cause: error }));
    }
  });
  if (!reader.hasReplicas) return;
  app.addHook('onSend', async (request, reply) => {
    if (!tellsOfWrites(request) || reply.statusCode >= 400) return;
    try {
      void reply.header(readAfterHeader, await reader.position());
    } catch (error) {
      request.log.warn({ event: 'http.no-position', code: serializeError(error).code });
    }
  });
};
