import { expect, test } from 'vitest';
import { AppError, notFound } from '../../../src/lib/errors/app-error.ts';
import { OutcomeError, rateLimited } from '../../../src/queues/outcome.ts';
import { outcomeOfError } from '../../../src/workers/runtime/outcome-of.ts';

const error = new Error('unknown');

test('an unknown error is worth another attempt, one that no repetition can mend is not', () => {
  expect(outcomeOfError(error, undefined, 10)).toEqual({ kind: 'retryable', error, afterMs: undefined });
  expect(outcomeOfError('a text', undefined, 10)).toMatchObject({ kind: 'retryable', error: 'a text' });
  expect(outcomeOfError(notFound('thing', '1'), undefined, 10).kind).toBe('permanent');
  expect(outcomeOfError(new AppError('RATE_LIMITED', 'busy', {}), undefined, 10).kind).toBe('retryable');
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
