import { expect, test } from 'vitest';
import { AppError, notFound } from '../../../src/lib/errors/app-error.ts';
import { completed, OutcomeError, permanent, rateLimited, retryable } from '../../../src/queues/outcome.ts';
import { outcomeAfterAbort, outcomeOfError } from '../../../src/workers/runtime/outcome-of.ts';

const error = new Error('unknown');

test('an unknown error is worth another attempt, one that no repetition can mend is not', () => {
  expect(outcomeOfError(error, undefined, 10)).toEqual({ kind: 'retryable', error, afterMs: undefined });
  expect(outcomeOfError('a text', undefined, 10)).toMatchObject({ kind: 'retryable', error: 'a text' });
  expect(outcomeOfError(notFound('thing', '1'), undefined, 10).kind).toBe('permanent');
  expect(outcomeOfError(new AppError('RATE_LIMITED', 'busy', {}), undefined, 10).kind).toBe('retryable');
});

test('an error that says how long to wait is worth another attempt after that time', () => {
  const open = new AppError('CIRCUIT_BREAKER_OPEN', 'left alone', { service: 'embeddings', retryAfterMs: 12_000 });
  expect(outcomeOfError(open, undefined, 10)).toEqual({ kind: 'retryable', error: open, afterMs: 12_000 });
});

test('an aborted attempt ends for the cause of its abort, whatever was thrown', () => {
  expect(outcomeOfError(error, 'cancelled', 10)).toEqual({ kind: 'cancelled' });
  expect(outcomeOfError(notFound('thing', '1'), 'shutdown', 10)).toEqual({ kind: 'interrupted' });
  expect(outcomeOfError(error, 'lock-lost', 10)).toEqual({ kind: 'interrupted' });
  expect(outcomeOfError(error, 'deadline', 10)).toMatchObject({ kind: 'retryable', error: { code: 'TIMEOUT' } });
});

test('a thrown outcome is the outcome', () => {
  expect(outcomeOfError(new OutcomeError(rateLimited(5)), 'deadline', 10)).toEqual({
    kind: 'rate-limited',
    afterMs: 5,
  });
});

test('an outcome that was answered after the abort: a result counts, a failure is put down to the abort', () => {
  expect(outcomeAfterAbort(completed(1), 'cancelled', 10)).toEqual({ kind: 'completed', result: 1 });
  expect(outcomeAfterAbort(retryable(error), 'cancelled', 10)).toEqual({ kind: 'cancelled' });
  expect(outcomeAfterAbort(rateLimited(5), 'cancelled', 10)).toEqual({ kind: 'cancelled' });
  expect(outcomeAfterAbort(retryable(error), 'shutdown', 10)).toEqual({ kind: 'interrupted' });
  expect(outcomeAfterAbort(retryable(error), 'deadline', 10)).toMatchObject({ error: { code: 'TIMEOUT' } });
  expect(outcomeAfterAbort(permanent(error), 'shutdown', 10)).toEqual({ kind: 'permanent', error });
  expect(outcomeAfterAbort(retryable(error), undefined, 10)).toEqual({ kind: 'retryable', error, afterMs: undefined });
});
