import { pino } from 'pino';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { Platform } from '../../../src/platform.ts';
import { defineJob } from '../../../src/queues/define-job.ts';
import { handleBatch, type BatchContext } from '../../../src/queues/handle.ts';
import { completed, permanent, retryable, type Outcome } from '../../../src/queues/outcome.ts';
import { BatchCall, type BatchMember } from '../../../src/workers/runtime/batch-call.ts';

const send = defineJob({ name: 'mails.send', payload: z.object({ to: z.string() }), redact: ['to'], batchSize: 10 });
type Context = BatchContext<typeof send>;

const memberOf = (to: string): BatchMember => ({
  payload: { to },
  secrets: [to],
  job: { id: to, name: send.name, queue: send.queue, tenant: '', attempt: 1, attemptsAllowed: 5 },
  progress: () => undefined,
  completeIn: () => Promise.reject(new Error('has no transaction')),
  timeoutMs: 60_000,
});
const callOf = (
  size: number,
  run: (context: Context) => Promise<readonly Outcome[]>,
  write: (line: string) => void = () => undefined,
): BatchCall =>
  new BatchCall({ platform: {} as Platform, handler: handleBatch(send, run), log: pino({}, { write }), size });
const completeAll = ({ jobs }: Context): Promise<readonly Outcome[]> =>
  Promise.resolve(jobs.map(({ payload }) => completed(payload.to)));
const aborted = (signal: AbortSignal): Promise<unknown> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));

test('a job cancelled before the others have come does not cancel them', async () => {
  const signals: boolean[] = [];
  const call = callOf(2, async ({ jobs, signal }) => {
    signals.push(signal.aborted, ...jobs.map((job) => job.signal.aborted));
    return jobs.map((job) => (job.signal.aborted ? retryable(job.signal.reason) : completed(null)));
  });
  const first = call.join(memberOf('first'));
  first.abort('cancelled', 'the job was cancelled');
  const second = call.join(memberOf('second'));
  expect(await Promise.all([first.outcome(), second.outcome()])).toMatchObject([
    { kind: 'cancelled' },
    { kind: 'completed' },
  ]);
  expect(signals).toEqual([false, true, false]);
});

test('when each of them was cancelled before the last had come, the call is aborted', async () => {
  const call = callOf(2, async ({ jobs, signal }) => {
    await aborted(signal);
    return jobs.map(() => retryable(signal.reason));
  });
  const seat = call.join(memberOf('first'));
  seat.abort('cancelled', 'the job was cancelled');
  call.leave();
  expect(await seat.outcome()).toEqual({ kind: 'cancelled' });
});

test('a call whose lock is lost before it begins is aborted for those who come later too, and given up when it goes on', async () => {
  const signals: boolean[] = [];
  const call = callOf(2, async ({ jobs }) => {
    signals.push(...jobs.map((job) => job.signal.aborted));
    return new Promise(() => undefined);
  });
  const first = call.join(memberOf('first'));
  first.abort('lock-lost', 'the lock is lost');
  first.abandon();
  const second = call.join(memberOf('second'));
  expect(await Promise.all([first.outcome(), second.outcome()])).toEqual([
    { kind: 'interrupted' },
    { kind: 'interrupted' },
  ]);
  expect(signals).toEqual([true, true]);
});

test('a failure that is answered at a shutdown is put down to it and costs no attempt; results and verdicts count', async () => {
  const call = callOf(3, async ({ signal }) => {
    await aborted(signal);
    return [retryable(signal.reason), completed(1), permanent(new Error('no such address'))];
  });
  const seats = ['first', 'second', 'third'].map((to) => call.join(memberOf(to)));
  seats[0]?.abort('shutdown', 'the worker is shutting down');
  expect((await Promise.all(seats.map((seat) => seat.outcome()))).map(({ kind }) => kind)).toEqual([
    'interrupted',
    'completed',
    'permanent',
  ]);
});

test('the log of a call does not quote what the contract hides of any of its jobs', async () => {
  const lines: string[] = [];
  const call = callOf(
    2,
    (context) => {
      context.log.warn({ event: 'tests.refused', err: new Error('ann@example.org and bob@example.org are unknown') });
      return completeAll(context);
    },
    (line) => lines.push(line),
  );
  const seats = ['ann@example.org', 'bob@example.org'].map((to) => call.join(memberOf(to)));
  await Promise.all(seats.map((seat) => seat.outcome()));
  expect(lines.join('')).toContain('[redacted] and [redacted] are unknown');
  expect(lines.join('')).not.toContain('example.org');
});
