import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Platform } from '../platform.ts';

/** The server as routes see it: requests and answers are typed by their zod schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** What the routes work with. */
export interface RouteParts {
  readonly platform: Platform;
  /** Aborted when the server closes: long answers end. */
  readonly closing: AbortSignal;
  /** How often a silent event stream says that it lives. */
  readonly heartbeatMs: number;
}
