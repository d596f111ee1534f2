import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { openServices } from './open-services.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const open = (options: Parameters<ReturnType<typeof openServices>['services']['open']>[0]) =>
  openServices().services.open(options);
const failure = new AppError('EXTERNAL_SERVICE_ERROR', 'status 503', { status: 503 });
const never = () => new Promise<never>(() => undefined);
/** Lets everything happen that needs no time. */
const settle = () => vi.advanceTimersByTimeAsync(0);

const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

/** Calls that run until they are ended one by one. */
const held = () => {
  const ends: (() => void)[] = [];
  const fn = vi.fn<() => Promise<void>>(() => new Promise<void>((resolve) => ends.push(resolve)));
  return { fn, end: () => ends.shift()?.() };
};

describe('a time-out', () => {
  it('ends a call, and aborts its signal', async () => {
    let signal: AbortSignal | undefined;
    const call = open({ name: 'oracle', timeoutMs: 5_000 }).call((own) => {
      signal = own;
      return never();
    });
    const ended = errorOf(call);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(signal?.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(signal?.aborted).toBe(true);
    expect(await ended).toMatchObject({ code: 'TIMEOUT', status: 504, details: { timeoutMs: 5_000 } });
  });

  it('is a time-out, whatever the client makes of the aborted signal', async () => {
    const call = open({ name: 'oracle', timeoutMs: 1_000 }).call(
      (own) => new Promise((_, reject) => own.addEventListener('abort', () => reject(new Error('aborted')))),
    );
    const ended = errorOf(call);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await ended).toMatchObject({ code: 'TIMEOUT' });
  });

  it('counts from when the call is sent, not while it waits for its turn', async () => {
    const service = open({ name: 'oracle', timeoutMs: 5_000, bulkhead: { max: 1, maxWaiting: 1 } });
    const first = held();
    const second = held();
    const calls = [service.call(first.fn), service.call(second.fn)];
    await vi.advanceTimersByTimeAsync(4_000);
    first.end();
    await vi.advanceTimersByTimeAsync(4_000);
    second.end();
    await expect(Promise.all(calls)).resolves.toHaveLength(2);
  });
});

describe('a caller that gives up', () => {
  it('is answered at once, and the signal of its call aborts', async () => {
    const caller = new AbortController();
    let signal: AbortSignal | undefined;
    const call = open({ name: 'oracle' }).call(
      (own) => {
        signal = own;
        return never();
      },
      { signal: caller.signal },
    );
    await settle();
    caller.abort();
    await expect(call).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(signal?.aborted).toBe(true);
  });

  it('is answered at once while its call waits, which is never sent', async () => {
    const service = open({ name: 'oracle', bulkhead: { max: 1, maxWaiting: 1 } });
    const running = held();
    const first = service.call(running.fn);
    const caller = new AbortController();
    const waiting = vi.fn<() => Promise<void>>(() => Promise.resolve());
    const second = service.call(waiting, { signal: caller.signal });
    await settle();
    caller.abort();
    await expect(second).rejects.toMatchObject({ code: 'INTERRUPTED' });
    running.end();
    await first;
    await settle();
    expect(waiting).not.toHaveBeenCalled();
    expect(service.status).toEqual({ breaker: 'closed', running: 0, waiting: 0 });
  });

  it('sends nothing when it had given up before', async () => {
    const fn = vi.fn<() => Promise<void>>(() => Promise.resolve());
    await expect(open({ name: 'oracle' }).call(fn, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'INTERRUPTED',
    });
    expect(fn).not.toHaveBeenCalled();
  });
});

describe('a bulkhead', () => {
  it('lets so many calls run, so many wait, and refuses the rest', async () => {
    const service = open({ name: 'oracle', bulkhead: { max: 2, maxWaiting: 3 } });
    const { fn, end } = held();
    const calls = Array.from({ length: 5 }, () => service.call(fn));
    await settle();
    expect(fn).toHaveBeenCalledTimes(2);
    expect(service.status).toMatchObject({ running: 2, waiting: 3 });
    await expect(service.call(fn)).rejects.toMatchObject({
      code: 'PERFORMANCE_ERROR',
      status: 503,
      details: { value: 3, limit: 3 },
    });
    end();
    await settle();
    expect(fn).toHaveBeenCalledTimes(3);
    expect(service.status).toMatchObject({ running: 2, waiting: 2 });
    for (let call = 0; call < 4; call += 1) {
      end();
      await settle();
    }
    await expect(Promise.all(calls)).resolves.toHaveLength(5);
    expect(service.status).toMatchObject({ running: 0, waiting: 0 });
  });
});

describe('a service that asks for a pause', () => {
  const limited = () => Promise.reject(new AppError('RATE_LIMITED', 'slowly', { retryAfterMs: 9_000 }));

  it('is left alone until it is over, and its breaker stays closed', async () => {
    const service = open({ name: 'oracle', breaker: { failures: 1 } });
    await expect(service.call(limited)).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    const fn = vi.fn<() => Promise<string>>(() => Promise.resolve('answer'));
    vi.advanceTimersByTime(4_000);
    await expect(service.call(fn)).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs: 5_000 } });
    expect(fn).not.toHaveBeenCalled();
    vi.advanceTimersByTime(5_000);
    await expect(service.call(fn)).resolves.toBe('answer');
  });

  it('is left alone by calls that wait for their turn as well', async () => {
    const service = open({ name: 'oracle', bulkhead: { max: 1, maxWaiting: 1 } });
    const first = service.call(limited);
    const fn = vi.fn<() => Promise<void>>(() => Promise.resolve());
    const second = service.call(fn);
    await expect(first).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    await expect(second).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs: 9_000 } });
    expect(fn).not.toHaveBeenCalled();
  });
});

describe('a rate limit', () => {
  it('is of each key, and its calls are refused until the window is over', async () => {
    const service = open({ name: 'oracle', rate: { max: 2, perSeconds: 60 } });
    const fn = vi.fn<() => Promise<void>>(() => Promise.resolve());
    const call = (limitKey: string) => service.call(fn, { limitKey });
    await call('a');
    vi.advanceTimersByTime(10_000);
    await call('a');
    await expect(call('a')).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs: 50_000 } });
    await call('b');
    expect(fn).toHaveBeenCalledTimes(3);
    vi.advanceTimersByTime(50_000);
    await call('a');
  });
});

describe('retries and fallbacks', () => {
  it('are not there unless they are asked for', async () => {
    const fn = vi.fn<() => Promise<never>>(() => Promise.reject(failure));
    await expect(open({ name: 'oracle' }).call(fn)).rejects.toBe(failure);
    expect(fn).toHaveBeenCalledTimes(1);
  });

  it('a retry that succeeds is a success', async () => {
    const fn = vi.fn<() => Promise<string>>().mockRejectedValueOnce(failure).mockResolvedValueOnce('second');
    const call = open({ name: 'oracle' }).call(fn, { retry: {} });
    await vi.runAllTimersAsync();
    await expect(call).resolves.toBe('second');
  });

  it('each attempt counts for the breaker, which ends the retries', async () => {
    const service = open({ name: 'oracle', breaker: { failures: 2 } });
    const fn = vi.fn<() => Promise<never>>(() => Promise.reject(failure));
    const ended = errorOf(service.call(fn, { retry: { attempts: 5, maxDelayMs: 10_000 } }));
    await vi.runAllTimersAsync();
    expect(await ended).toMatchObject({ code: 'CIRCUIT_BREAKER_OPEN' });
    expect(fn).toHaveBeenCalledTimes(2);
  });

  it('a fallback answers for a call that failed, and hears why', async () => {
    const service = open({ name: 'oracle', breaker: { failures: 1 } });
    const fallback = vi.fn<(error: AppError) => string>((error) => error.code);
    const call = () => service.call<string>(() => Promise.reject(failure), { fallback });
    expect(await call()).toBe('EXTERNAL_SERVICE_ERROR');
    expect(await call()).toBe('CIRCUIT_BREAKER_OPEN');
  });

  it('a fallback does not answer a caller that gave up', async () => {
    const fallback = vi.fn<() => string>(() => 'instead');
    const caller = new AbortController();
    const call = open({ name: 'oracle' }).call<string>(never, { signal: caller.signal, fallback });
    caller.abort();
    await expect(call).rejects.toMatchObject({ code: 'INTERRUPTED' });
    expect(fallback).not.toHaveBeenCalled();
  });
});

describe('metrics', () => {
  const linesOf = async ({ meter }: ReturnType<typeof openServices>): Promise<readonly string[]> =>
    (await meter.expose()).split('\n').filter((line) => line.startsWith('treadle_remote_'));

  it('count calls by outcome, retries and fallbacks', async () => {
    const opened = openServices();
    const service = opened.services.open({ name: 'oracle', breaker: { failures: 3 } });
    opened.services.open({ name: 'quiet' });
    await service.call(() => Promise.resolve());
    const call = service.call<unknown>(() => Promise.reject(failure), { retry: {}, fallback: () => undefined });
    await vi.runAllTimersAsync();
    await call;
    await service.call(() => Promise.resolve()).catch(() => undefined);
    expect(await linesOf(opened)).toEqual(
      expect.arrayContaining([
        'treadle_remote_calls_total{service="oracle",outcome="success"} 1',
        'treadle_remote_calls_total{service="oracle",outcome="EXTERNAL_SERVICE_ERROR"} 1',
        'treadle_remote_calls_total{service="oracle",outcome="CIRCUIT_BREAKER_OPEN"} 1',
        'treadle_remote_retries_total{service="oracle"} 2',
        'treadle_remote_fallbacks_total{service="oracle"} 1',
        'treadle_remote_retries_total{service="quiet"} 0',
        'treadle_remote_breaker_state{service="oracle",state="closed"} 0',
        'treadle_remote_breaker_state{service="oracle",state="half-open"} 0',
        'treadle_remote_breaker_state{service="oracle",state="open"} 1',
        'treadle_remote_breaker_state{service="quiet",state="closed"} 1',
      ]),
    );
  });

  it('show the calls that run and wait now', async () => {
    const opened = openServices();
    const service = opened.services.open({ name: 'oracle', bulkhead: { max: 1, maxWaiting: 5 } });
    const { fn, end } = held();
    const calls = [service.call(fn), service.call(fn), service.call(fn)];
    await settle();
    expect(await linesOf(opened)).toEqual(
      expect.arrayContaining([
        'treadle_remote_calls{service="oracle",state="running"} 1',
        'treadle_remote_calls{service="oracle",state="waiting"} 2',
      ]),
    );
    for (const _ of calls) {
      end();
      await settle();
    }
    await Promise.all(calls);
  });
});

it('a name is one service: its breaker and its counts are not shared by mistake', () => {
  const { services } = openServices();
  services.open({ name: 'oracle' });
  expect(() => services.open({ name: 'oracle' })).toThrow(/oracle/);
});
