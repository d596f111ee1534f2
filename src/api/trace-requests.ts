import { context, trace } from '@opentelemetry/api';
import type { FastifyInstance } from 'fastify';
import { contextOf, isTracing } from '../lib/telemetry/tracing.ts';

/** Requests with a `traceparent` header run in the trace it names, unless somebody else traces requests already. */
export const traceRequests = (app: FastifyInstance): void => {
  app.addHook('preHandler', (request, _reply, done) => {
    const { traceparent } = request.headers;
    if (typeof traceparent !== 'string' || !isTracing() || trace.getActiveSpan()) done();
    else context.with(contextOf(traceparent), done);
  });
};
