import { expect, test } from 'vitest';
import { catalogue } from '../../../src/lib/errors/catalogue.ts';

// Clients rely on this table. Adding a line is a feature; changing one breaks them.
test('the codes, their statuses and whether a retry may help are as published', () => {
  const published = Object.entries(catalogue).map(
    ([code, { status, retryable, details }]) =>
      `${status} ${code}${retryable ? ' (retryable)' : ''}: ${Object.keys(details.shape).join(', ')}`,
  );
  expect(published).toMatchInlineSnapshot(`
    [
      "400 VALIDATION_ERROR: faults",
      "401 UNAUTHENTICATED: ",
      "403 FORBIDDEN: scope",
      "404 NOT_FOUND: entity, entityId",
      "405 METHOD_NOT_ALLOWED: ",
      "409 DATA_CONSISTENCY_ERROR: entity, entityId, expected, actual",
      "409 IDEMPOTENCY_CONFLICT: idempotencyKey",
      "424 CHILD_FAILED: childrenFailed",
      "413 PAYLOAD_TOO_LARGE: maxBytes",
      "415 UNSUPPORTED_MEDIA_TYPE: contentType",
      "429 RATE_LIMITED (retryable): retryAfterMs",
      "500 INTERNAL_ERROR: ",
      "500 CONFIGURATION_ERROR: faults",
      "500 SCHEMA_MISMATCH: expected, actual, command",
      "502 EXTERNAL_SERVICE_ERROR (retryable): service, endpoint, status",
      "503 DB_CONNECTION_ERROR (retryable): sqlState, host",
      "503 SERVICE_UNAVAILABLE (retryable): service, endpoint",
      "503 CIRCUIT_BREAKER_OPEN (retryable): service, endpoint, retryAfterMs",
      "503 PERFORMANCE_ERROR (retryable): metric, value, limit",
      "504 TIMEOUT (retryable): timeoutMs",
      "503 INTERRUPTED (retryable): ",
    ]
  `);
});
