import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import type { RemoteService } from '../../../src/lib/resilience/remote-service.ts';
import { openServices } from './open-services.ts';

let service: RemoteService;
beforeEach(() => {
  vi.useFakeTimers();
  service = openServices().services.open({ name: 'oracle' });
});
afterEach(() => {
  vi.useRealTimers();
});

const failure = () => Promise.reject(new AppError('EXTERNAL_SERVICE_ERROR', 'status 503', { status: 503 }));
const refusal = () =>
  Promise.reject(new AppError('EXTERNAL_SERVICE_ERROR', 'status 400', { status: 400 }, { retryable: false }));
const success = () => Promise.resolve('answer');

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'success',
    (error: unknown) => (error instanceof AppError ? error.code : 'unknown'),
  );
const fail = async (times: number): Promise<void> => {
  for (let time = 1; time <= times; time += 1)
    expect(await codeOf(service.call(failure))).toBe('EXTERNAL_SERVICE_ERROR');
};

/** A call that is under way until it is told how it ends. */
const hold = () => {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const fn = vi.fn<() => Promise<string>>(() => promise);
  return { fn, resolve, reject };
};

it('opens after five failures in a row, and says for how long', async () => {
  await fail(5);
  vi.advanceTimersByTime(10_000);
  const fn = vi.fn<typeof success>(success);
  await expect(service.call(fn)).rejects.toMatchObject({
    code: 'CIRCUIT_BREAKER_OPEN',
    status: 503,
    retryable: true,
    details: { service: 'oracle', retryAfterMs: 20_000 },
  });
  expect(fn).not.toHaveBeenCalled();
});

it('stays closed when a success comes in between', async () => {
  await fail(4);
  await service.call(success);
  await fail(4);
  expect(await codeOf(service.call(success))).toBe('success');
});

it('counts time-outs', async () => {
  const silent = () => new Promise<never>(() => undefined);
  for (let time = 1; time <= 5; time += 1) {
    const ended = codeOf(service.call(silent));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await ended).toBe('TIMEOUT');
  }
  expect(await codeOf(service.call(success))).toBe('CIRCUIT_BREAKER_OPEN');
});

it('counts lost connections of a client that has no errors of the catalogue', async () => {
  const cut = () =>
    Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) }));
  for (let time = 1; time <= 5; time += 1) expect(await codeOf(service.call(cut))).toBe('EXTERNAL_SERVICE_ERROR');
  expect(await codeOf(service.call(success))).toBe('CIRCUIT_BREAKER_OPEN');
});

it('counts neither what the service refuses nor faults of the program', async () => {
  for (let time = 1; time <= 6; time += 1) {
    await codeOf(service.call(refusal));
    expect(await codeOf(service.call(() => Promise.reject(new TypeError('a mistake'))))).toBe('INTERNAL_ERROR');
  }
  expect(service.status.breaker).toBe('closed');
});

it('does not count callers that give up, whenever they do', async () => {
  for (const sentBefore of [true, false, true, false, true, false]) {
    const caller = new AbortController();
    const call = codeOf(service.call(() => new Promise<never>(() => undefined), { signal: caller.signal }));
    if (sentBefore) await vi.advanceTimersByTimeAsync(10);
    caller.abort();
    expect(await call).toBe('INTERRUPTED');
    await vi.advanceTimersByTimeAsync(0);
    expect(service.status.breaker).toBe('closed');
  }
  await fail(4);
  expect(await codeOf(service.call(success))).toBe('success');
});

it('lets one call try the service when the time is over; the others wait for what comes of it', async () => {
  await fail(5);
  vi.advanceTimersByTime(30_000);
  const trial = hold();
  const others = vi.fn<typeof success>(success);
  const first = codeOf(service.call(trial.fn));
  const waiting = [codeOf(service.call(others)), codeOf(service.call(others))];
  await vi.advanceTimersByTimeAsync(1_000);
  expect(trial.fn).toHaveBeenCalledTimes(1);
  expect(others).not.toHaveBeenCalled();
  trial.resolve('well again');
  expect(await Promise.all([first, ...waiting])).toEqual(['success', 'success', 'success']);
  await fail(4);
  expect(await codeOf(service.call(success))).toBe('success');
});

it('opens again for as long when that call fails, and the others are refused', async () => {
  await fail(5);
  vi.advanceTimersByTime(30_000);
  const trial = hold();
  const first = codeOf(service.call(trial.fn));
  const waiting = service.call(success);
  trial.reject(new AppError('EXTERNAL_SERVICE_ERROR', 'status 500', { status: 500 }));
  await expect(waiting).rejects.toMatchObject({ code: 'CIRCUIT_BREAKER_OPEN', details: { retryAfterMs: 30_000 } });
  expect(await first).toBe('EXTERNAL_SERVICE_ERROR');
  vi.advanceTimersByTime(29_999);
  expect(await codeOf(service.call(success))).toBe('CIRCUIT_BREAKER_OPEN');
  vi.advanceTimersByTime(1);
  expect(await codeOf(service.call(success))).toBe('success');
});

it('closes when that call is refused by a service that answers', async () => {
  await fail(5);
  vi.advanceTimersByTime(30_000);
  expect(await codeOf(service.call(refusal))).toBe('EXTERNAL_SERVICE_ERROR');
  expect(service.status.breaker).toBe('closed');
});

it('neither closes nor opens for longer when the caller of that call gives up: the next call tries', async () => {
  await fail(5);
  vi.advanceTimersByTime(30_000);
  const caller = new AbortController();
  const trial = codeOf(service.call(() => new Promise<never>(() => undefined), { signal: caller.signal }));
  await vi.advanceTimersByTimeAsync(10);
  caller.abort();
  expect(await trial).toBe('INTERRUPTED');
  await vi.advanceTimersByTimeAsync(0);
  expect(service.status.breaker).toBe('half-open');
  expect(await codeOf(service.call(failure))).toBe('EXTERNAL_SERVICE_ERROR');
  expect(await codeOf(service.call(success))).toBe('CIRCUIT_BREAKER_OPEN');
});

it('does not take a call for a trial that a rate limit keeps back', async () => {
  service = openServices().services.open({ name: 'limited', rate: { max: 5, perSeconds: 60 } });
  await fail(5);
  vi.advanceTimersByTime(30_000);
  const fn = vi.fn<typeof success>(success);
  expect(await codeOf(service.call(fn))).toBe('RATE_LIMITED');
  expect(fn).not.toHaveBeenCalled();
  expect(service.status.breaker).toBe('half-open');
  vi.advanceTimersByTime(30_000);
  expect(await codeOf(service.call(fn))).toBe('success');
  expect(service.status.breaker).toBe('closed');
});
