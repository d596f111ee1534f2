import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AppError, notFound } from '../../../src/lib/errors/app-error.ts';
import { withRetry } from '../../../src/lib/resilience/with-retry.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const passing = new AppError('EXTERNAL_SERVICE_ERROR', 'status 503', { status: 503 });

/** Throws the given errors one after another, then answers. */
const failing = (...errors: readonly unknown[]) => {
  const left = [...errors];
  return vi.fn<() => Promise<unknown>>(() =>
    left.length > 0 ? Promise.reject(left.shift()) : Promise.resolve('done'),
  );
};

/** What comes of it, and the waits between. */
const outcomeOf = async (fn: () => Promise<unknown>, options: Parameters<typeof withRetry>[1] = {}) => {
  const delays: number[] = [];
  const work = withRetry(fn, { ...options, onRetry: (_, delayMs) => delays.push(delayMs) });
  const settled = Promise.allSettled([work]);
  await vi.runAllTimersAsync();
  const [result] = await settled;
  return { result, delays };
};

it('tries three times, with waits that double from a second, by up to a half shorter', async () => {
  const fn = failing(passing, passing, passing);
  const { result, delays } = await outcomeOf(fn);
  expect(result).toEqual({ status: 'rejected', reason: passing });
  expect(fn).toHaveBeenCalledTimes(3);
  expect(delays).toHaveLength(2);
  const [first = 0, second = 0] = delays;
  expect(first).toBeGreaterThanOrEqual(500);
  expect(first).toBeLessThanOrEqual(1_000);
  expect(second).toBeGreaterThanOrEqual(1_000);
  expect(second).toBeLessThanOrEqual(2_000);
});

it('waits each time anew, so that many callers do not come back at once', async () => {
  const waits = await Promise.all(Array.from({ length: 20 }, () => outcomeOf(failing(passing))));
  expect(new Set(waits.flatMap(({ delays }) => delays)).size).toBeGreaterThan(5);
});

it('answers with the first success', async () => {
  const fn = failing(passing);
  expect((await outcomeOf(fn)).result).toEqual({ status: 'fulfilled', value: 'done' });
  expect(fn).toHaveBeenCalledTimes(2);
});

it.each<[string, unknown]>([
  ['a fault of the request', notFound('thing', '1')],
  ['a 4xx', new AppError('EXTERNAL_SERVICE_ERROR', 'status 400', { status: 400 }, { retryable: false })],
  ['an interruption', new AppError('INTERRUPTED', 'enough', {})],
  ['an unknown error', new TypeError('undefined is not a function')],
])('does not repeat %s', async (_, error) => {
  const fn = failing(error);
  expect((await outcomeOf(fn)).result).toEqual({ status: 'rejected', reason: error });
  expect(fn).toHaveBeenCalledTimes(1);
});

it('repeats after a lost connection, which no catalogue has named yet', async () => {
  const fn = failing(Object.assign(new Error('read'), { code: 'ECONNRESET' }));
  expect((await outcomeOf(fn)).result).toMatchObject({ value: 'done' });
});

it('waits as long as it is asked to', async () => {
  const fn = failing(new AppError('RATE_LIMITED', 'slowly', { retryAfterMs: 7_000 }));
  expect(await outcomeOf(fn)).toEqual({ result: { status: 'fulfilled', value: 'done' }, delays: [7_000] });
});

it('does not wait when it is asked to for longer than it may', async () => {
  const error = new AppError('CIRCUIT_BREAKER_OPEN', 'broken', { retryAfterMs: 30_000 });
  const fn = failing(error);
  expect(await outcomeOf(fn, { maxDelayMs: 2_000 })).toEqual({
    result: { status: 'rejected', reason: error },
    delays: [],
  });
});

it('never waits longer than the longest delay', async () => {
  const { delays } = await outcomeOf(failing(...Array.from({ length: 8 }, () => passing)), {
    attempts: 8,
    initialDelayMs: 1_000,
    maxDelayMs: 4_000,
  });
  expect(delays).toHaveLength(7);
  expect(Math.max(...delays)).toBeLessThanOrEqual(4_000);
});

it('ends a wait as soon as the caller gives up, and leaves no timer', async () => {
  const caller = new AbortController();
  const fn = failing(passing);
  const work = withRetry(fn, { signal: caller.signal });
  await vi.advanceTimersByTimeAsync(100);
  caller.abort();
  await expect(work).rejects.toMatchObject({ code: 'INTERRUPTED' });
  expect(fn).toHaveBeenCalledTimes(1);
  expect(vi.getTimerCount()).toBe(0);
});

it('does not begin for a caller that has given up', async () => {
  const fn = failing();
  await expect(withRetry(fn, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'INTERRUPTED' });
  expect(fn).not.toHaveBeenCalled();
});
