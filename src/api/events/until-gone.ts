import type { FastifyReply } from 'fastify';

/** Aborted when the client is gone or the server closes. */
export const untilGone = (reply: FastifyReply, closing: AbortSignal): AbortSignal => {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return AbortSignal.any([gone.signal, closing]);
};
