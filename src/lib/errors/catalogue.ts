import { z } from 'zod';

const entity = z.object({ entity: z.string(), entityId: z.string() }).partial();
const faults = z.object({
  faults: z.array(z.object({ path: z.string(), message: z.string(), index: z.number().optional() })),
});
const service = z.object({ service: z.string(), endpoint: z.string().optional() });

/**
 * Every error code Treadle answers with: its HTTP status, whether the same request may succeed later, and the shape of
 * `details`. This table is the contract with clients; `test/lib/errors/catalogue.test.ts` pins it.
 */
export const catalogue = {
  VALIDATION_ERROR: { status: 400, retryable: false, details: faults },
  UNAUTHENTICATED: { status: 401, retryable: false, details: z.object({}) },
  FORBIDDEN: { status: 403, retryable: false, details: z.object({ scope: z.string() }).partial() },
  NOT_FOUND: { status: 404, retryable: false, details: entity },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, details: z.object({}) },
  DATA_CONSISTENCY_ERROR: {
    status: 409,
    retryable: false,
    details: entity.extend({ expected: z.number(), actual: z.number() }).partial(),
  },
  IDEMPOTENCY_CONFLICT: { status: 409, retryable: false, details: z.object({ idempotencyKey: z.string() }) },
  /** How a job ends that was to fail with the first of its children. */
  CHILD_FAILED: { status: 424, retryable: false, details: z.object({ childrenFailed: z.number() }) },
  PAYLOAD_TOO_LARGE: { status: 413, retryable: false, details: z.object({ maxBytes: z.number() }) },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false, details: z.object({ contentType: z.string() }).partial() },
  RATE_LIMITED: { status: 429, retryable: true, details: z.object({ retryAfterMs: z.number() }).partial() },
  INTERNAL_ERROR: { status: 500, retryable: false, details: z.object({}) },
  CONFIGURATION_ERROR: {
    status: 500,
    retryable: false,
    details: z.object({ faults: z.array(z.object({ variable: z.string(), message: z.string() })) }).partial(),
  },
  SCHEMA_MISMATCH: {
    status: 500,
    retryable: false,
    details: z.object({ expected: z.string(), actual: z.string(), command: z.string() }).partial(),
  },
  EXTERNAL_SERVICE_ERROR: { status: 502, retryable: true, details: service.extend({ status: z.number() }).partial() },
  DB_CONNECTION_ERROR: {
    status: 503,
    retryable: true,
    details: z.object({ sqlState: z.string(), host: z.string() }).partial(),
  },
  SERVICE_UNAVAILABLE: { status: 503, retryable: true, details: service.partial() },
  CIRCUIT_BREAKER_OPEN: {
    status: 503,
    retryable: true,
    details: service.extend({ retryAfterMs: z.number() }).partial(),
  },
  PERFORMANCE_ERROR: {
    status: 503,
    retryable: true,
    details: z.object({ metric: z.string(), value: z.number(), limit: z.number() }).partial(),
  },
  TIMEOUT: { status: 504, retryable: true, details: z.object({ timeoutMs: z.number() }).partial() },
  INTERRUPTED: { status: 503, retryable: true, details: z.object({}) },
} as const satisfies Record<string, { status: number; retryable: boolean; details: z.ZodObject }>;

export type ErrorCode = keyof typeof catalogue;
export type ErrorDetails<C extends ErrorCode> = z.infer<(typeof catalogue)[C]['details']>;
