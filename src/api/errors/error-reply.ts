import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AppError } from '../../lib/errors/app-error.ts';
import { requestFault } from './fastify-fault.ts';

export interface ErrorBody {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly details: unknown;
    readonly requestId: string;
  };
}

export const errorBody = (fault: AppError, requestId: string): ErrorBody => ({
  error: { code: fault.code, message: fault.message, details: fault.details, requestId },
});

const retryAfterSeconds = (fault: AppError): number | undefined => {
  const ms = 'retryAfterMs' in fault.details ? fault.details.retryAfterMs : undefined;
  return typeof ms === 'number' ? Math.max(1, Math.ceil(ms / 1_000)) : undefined;
};

const logFault = (request: FastifyRequest, fault: AppError, error: unknown): void => {
  if (fault.status < 500) return;
  const entry = { event: 'http.failed', requestId: request.id, code: fault.code, err: fault.cause ?? error };
  if (fault.retryable) request.log.warn(entry);
  else request.log.error(entry);
};

/** Answers any error in the one shape errors have, and logs those that are not the client's. */
export const createErrorReply =
  (maxBytes: number) =>
  (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const fault = requestFault(error, maxBytes);
    logFault(request, fault, error);
    const seconds = retryAfterSeconds(fault);
    if (seconds !== undefined && !reply.hasHeader('retry-after')) void reply.header('retry-after', seconds);
    if (fault.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer realm="treadle"');
    return reply
      .code(fault.status)
      .header('x-request-id', request.id)
      .header('cache-control', 'no-store')
      .type('application/json; charset=utf-8')
      .serializer(JSON.stringify)
      .send(errorBody(fault, request.id));
  };
