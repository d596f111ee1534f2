import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runSagaHandler } from '../../../src/jobs/sagas/handler.ts';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import type { SagaDetails } from '../../../src/domain/sagas/types.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { OutcomeError, permanent, rateLimited } from '../../../src/queues/outcome.ts';
import { useTreadle } from '../../queues/use-treadle.ts';
import { useDatabase } from '../../services/database.ts';
import { fails, forget, happened, next, trip, untilAborted } from './trip-saga.ts';

const database = useDatabase();
const treadle = useTreadle({ database, contracts: [], handlers: [runSagaHandler], sagas: [trip] });
beforeAll(() => database.query('CREATE TABLE rooms (saga_id uuid)'));
beforeEach(forget);

/** In the order in which Postgres keeps the fields. */
const flight = { of: 'Ada', seat: '12A' };
const cancelFlight = `cancel flight ${JSON.stringify(flight)}`;
const forGood = (message: string): OutcomeError => new OutcomeError(permanent(new Error(message)));
const start = () => treadle.platform.sagas.start(trip, { traveller: 'Ada', nights: 3 });
const ended = async ({ id, jobId }: { id: string; jobId: string }): Promise<{ saga: SagaDetails; job: JobRecord }> => {
  const job = await treadle.platform.jobs.wait(jobId, 20_000);
  if (!job) throw new Error('the saga has no job');
  return { job, saga: await treadle.platform.sagas.get(id) };
};
const book = async () => ended(await start());
const rooms = ({ id }: SagaDetails) => database.query('SELECT FROM rooms WHERE saga_id = $1', [id]);

describe('a saga', () => {
  test('runs its steps in their order, each with the results of those before, and keeps what they answered', async () => {
    const { saga, job } = await book();
    expect(happened).toEqual(['flight', 'room', 'mail']);
    const told = { flight, room: 3 };
    expect(job).toMatchObject({ state: 'completed', result: { state: 'completed', result: { told } } });
    expect(saga).toMatchObject({ state: 'completed', currentStep: 'mail', error: null, finishedAt: expect.any(Date) });
    expect(saga.steps).toMatchObject([
      { name: 'flight', state: 'done', attempts: 1, result: flight, error: null, finishedAt: expect.any(Date) },
      { name: 'room', state: 'done', attempts: 1, result: 3 },
      { name: 'mail', state: 'done', attempts: 1, result: { told } },
    ]);
    expect(await rooms(saga)).toHaveLength(1);
  });

  test('tries a step again that failed, and only that one', async () => {
    fails('mail', new Error('no answer'));
    const { saga, job } = await book();
    expect(happened).toEqual(['flight', 'room', 'mail', 'mail']);
    expect(saga).toMatchObject({ state: 'completed', steps: [{ attempts: 1 }, { attempts: 1 }, { attempts: 2 }] });
    expect(job.failures).toMatchObject([{ error: { message: 'no answer' } }]);
  });

  test('waits where a step is told to wait, which costs no attempt', async () => {
    next('mail', () => Promise.reject(new OutcomeError(rateLimited(1))));
    next('mail', () => Promise.reject(new OutcomeError(rateLimited(1))));
    const { saga, job } = await book();
    expect(happened).toEqual(['flight', 'room', 'mail', 'mail', 'mail']);
    expect(saga.steps[2]).toMatchObject({ state: 'done', attempts: 1 });
    expect(job).toMatchObject({ state: 'completed', attemptsMade: 1 });
  });

  test('exists if and only if the transaction it was started in commits', async () => {
    const started = treadle.platform.postgres.transaction(async (tx) => {
      const { id } = await treadle.platform.sagas.startByName(trip.name, { traveller: 'Ada', nights: 1 }, { tx });
      throw new Error(id);
    });
    const id = await started.catch((error: Error) => error.message);
    expect(await treadle.platform.sagas.find(id)).toBeUndefined();
    expect(await database.query(`SELECT FROM treadle.all_jobs WHERE payload ->> 'sagaId' = $1`, [id])).toEqual([]);
  });

  test('whose job is cancelled stands still, and goes on when the job is retried', async () => {
    const reached = Promise.withResolvers<void>();
    next('mail', (signal) => {
      reached.resolve();
      return untilAborted(signal);
    });
    const saga = await start();
    await reached.promise;
    await treadle.platform.jobs.cancel(saga.jobId);
    const stopped = await ended(saga);
    expect([stopped.job.state, stopped.saga.state, stopped.saga.steps[2]?.attempts]).toEqual([
      'cancelled',
      'running',
      0,
    ]);
    await treadle.platform.jobs.retry(saga.jobId);
    expect(await ended(saga)).toMatchObject({ job: { state: 'completed' }, saga: { state: 'completed' } });
    expect(happened).toEqual(['flight', 'room', 'mail', 'mail']);
  });
});

describe('a step that fails for good', () => {
  test('is undone with those before it, the last first: it may have been done half-way', async () => {
    fails('mail', new Error('no answer'));
    fails('mail', new AppError('TIMEOUT', 'still no answer', {}));
    const { saga, job } = await book();
    expect(happened).toEqual([
      'flight',
      'room',
      'mail',
      'mail',
      'apologise for undefined',
      'cancel room',
      cancelFlight,
    ]);
    expect(saga).toMatchObject({
      state: 'compensated',
      error: { step: 'mail', code: 'TIMEOUT', message: 'still no answer' },
      finishedAt: expect.any(Date),
    });
    const undone = { state: 'compensated', compensationAttempts: 1, compensatedAt: expect.any(Date) };
    expect(saga.steps).toMatchObject([
      { ...undone, attempts: 1, error: null },
      { ...undone, attempts: 1, error: null },
      { ...undone, attempts: 2, error: { code: 'TIMEOUT', message: 'still no answer' } },
    ]);
    expect(await rooms(saga)).toEqual([]);
    expect(job).toMatchObject({ state: 'completed', result: { state: 'compensated', result: null } });
  });

  test('fails at once when it says that no attempt can succeed', async () => {
    fails('flight', forGood('no seats left'));
    const { saga } = await book();
    expect(happened).toEqual(['flight', 'cancel flight undefined']);
    expect(saga).toMatchObject({ state: 'compensated', error: { step: 'flight', message: 'no seats left' } });
    expect(saga.steps.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['compensated', 1],
      ['pending', 0],
      ['pending', 0],
    ]);
  });

  test('and was a transaction has done nothing, and is not undone', async () => {
    fails('room', forGood('no rooms'));
    const { saga } = await book();
    expect(happened).toEqual(['flight', 'room', cancelFlight]);
    expect(saga.steps.map(({ state }) => state)).toEqual(['compensated', 'failed', 'pending']);
    expect(await rooms(saga)).toEqual([]);
  });

  test('is shown with its error, whatever characters that has', async () => {
    fails('mail', forGood('x\0y \ud800'));
    expect((await book()).saga.error).toMatchObject({ step: 'mail', message: 'x\u2400y \ufffd' });
  });
});

describe('a compensation that fails', () => {
  test('is tried again', async () => {
    fails('mail', forGood('no answer'));
    fails('cancel room', new Error('nobody there'));
    const { saga } = await book();
    expect(happened.slice(-4)).toEqual(['apologise for undefined', 'cancel room', 'cancel room', cancelFlight]);
    expect(saga).toMatchObject({ state: 'compensated', steps: [{}, { compensationAttempts: 2 }, {}] });
  });

  test('for good leaves the saga failed and its job a dead letter; redriven, it goes on where it stood', async () => {
    fails('mail', forGood('no answer'));
    fails('cancel room', new Error('nobody there'));
    fails('cancel room', new Error('nobody there either'));
    const { saga, job } = await book();
    expect(job).toMatchObject({ state: 'dead', error: { message: 'nobody there either' } });
    expect(saga).toMatchObject({
      state: 'failed',
      error: { step: 'room', message: 'nobody there either' },
      finishedAt: expect.any(Date),
    });
    expect(saga.steps.map(({ state }) => state)).toEqual(['done', 'compensation-failed', 'compensated']);
    expect(await rooms(saga)).toHaveLength(1);

    forget();
    fails('cancel room', new Error('still nobody'));
    expect(await treadle.platform.deadLetters.redrive({ ids: [job.id] }, 1)).toBe(1);
    const after = await ended(saga);
    // All attempts of the compensation again.
    expect(happened).toEqual(['cancel room', 'cancel room', cancelFlight]);
    expect(after).toMatchObject({
      job: { state: 'completed', result: { state: 'compensated' } },
      saga: { state: 'compensated', error: { step: 'mail', message: 'no answer' } },
    });
    expect(await rooms(saga)).toEqual([]);
  });
});
