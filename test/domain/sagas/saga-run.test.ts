import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineSaga, type SagaDefinition, type SagaOptions } from '../../../src/domain/sagas/define-saga.ts';
import type { SagaAttempt } from '../../../src/domain/sagas/saga-run.ts';
import { SagaService } from '../../../src/domain/sagas/service.ts';
import type { Saga } from '../../../src/domain/sagas/types.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import type { Postgres } from '../../../src/lib/postgres/postgres.ts';
import type { Platform } from '../../../src/platform.ts';
import { useDatabase } from '../../services/database.ts';
import { fails, forget, happened, next, trip, untilAborted } from './trip-saga.ts';

const database = useDatabase();
beforeAll(() => database.query('CREATE TABLE rooms (saga_id uuid)'));
beforeEach(forget);

/** Sagas whose jobs are taken by nobody: the tests do. */
const serviceOf = (definition: SagaDefinition, postgres: Postgres = database.postgres): SagaService =>
  new SagaService({
    postgres,
    definitions: [definition],
    enqueue: () => Promise.resolve(randomUUID()),
  });
const attemptOf = ({ jobId }: Pick<Saga, 'jobId'>, signal = new AbortController().signal): SagaAttempt => ({
  jobId,
  // The steps of these sagas ask nothing of it.
  platform: {} as Platform,
  signal,
  log: createLog({ level: 'silent' }),
  judge: (error) => ({ kind: 'failure', error, permanent: false }),
  onDone: () => undefined,
});
const start = (): Promise<Saga> => serviceOf(trip).start(trip, { traveller: 'Ada', nights: 3 });
const run = (saga: Saga, signal?: AbortSignal) => serviceOf(trip).run(saga.id, attemptOf(saga, signal));
const statesOf = async ({ id }: Saga): Promise<readonly string[]> =>
  (await serviceOf(trip).get(id)).steps.map(({ state }) => state);

/** Holds up `what`, the next time it happens, until it is let go. */
const holdUp = (what: string) => {
  const reached = Promise.withResolvers<void>();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  next(what, () => {
    reached.resolve();
    return promise;
  });
  return { reached: reached.promise, letGo: () => resolve(), letFail: () => reject(new Error('too late')) };
};

describe('of two attempts of one saga', () => {
  test('only the one that took it last goes on; what the other still does leaves no trace in the journal', async () => {
    const saga = await start();
    const { reached, letGo } = holdUp('flight');
    const stale = run(saga);
    await reached;
    expect(await run(saga)).toMatchObject({ kind: 'ended', state: 'completed' });
    const before = await serviceOf(trip).get(saga.id);
    letGo();
    expect(await stale).toEqual({ kind: 'taken-over' });
    expect(happened).toEqual(['flight', 'flight', 'room', 'mail']);
    expect(await serviceOf(trip).get(saga.id)).toEqual(before);
  });

  test('a failure of the stale one does not undo what the other does', async () => {
    const saga = await start();
    const { reached, letFail } = holdUp('flight');
    const stale = run(saga);
    await reached;
    const other = holdUp('room');
    const successor = run(saga);
    await other.reached;
    letFail();
    expect(await stale).toEqual({ kind: 'taken-over' });
    other.letGo();
    expect(await successor).toMatchObject({ kind: 'ended', state: 'completed' });
    expect(await statesOf(saga)).toEqual(['done', 'done', 'done']);
  });

  test('the later waits for the transaction of a step, and does not do it again', async () => {
    const saga = await start();
    const { reached, letGo } = holdUp('room');
    const first = run(saga);
    await reached;
    const second = run(saga);
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await expect.poll(() => database.query(waiting), { timeout: 5000 }).toHaveLength(1);
    letGo();
    const ends = await Promise.all([first, second]);
    expect(ends.map(({ kind }) => kind)).toContain('ended');
    expect(happened.filter((what) => what === 'room')).toHaveLength(1);
    expect(await database.query('SELECT FROM rooms WHERE saga_id = $1', [saga.id])).toHaveLength(1);
    expect(await statesOf(saga)).toEqual(['done', 'done', 'done']);
  });

  test('that begin at the same time one runs every step to its end', async () => {
    const sagas = await Promise.all(Array.from({ length: 10 }, start));
    const ends = await Promise.all(sagas.flatMap((saga) => [run(saga), run(saga)]));
    expect(new Set(ends.map(({ kind }) => kind))).toEqual(new Set(['ended', 'taken-over']));
    for (const saga of sagas) expect(await statesOf(saga)).toEqual(['done', 'done', 'done']);
    const rooms = await database.query('SELECT FROM rooms WHERE saga_id = ANY ($1)', [sagas.map(({ id }) => id)]);
    expect(rooms).toHaveLength(sagas.length);
  });
});

test('a saga that is run by an open job is refused to another', async () => {
  const saga = await start();
  await database.query(
    `INSERT INTO treadle.jobs (id, name, queue, payload, attempts_allowed, timeout_ms)
     VALUES ($1, 'sagas.run', 'sagas', '{}', 1, 1000)`,
    [saga.jobId],
  );
  const other = attemptOf({ jobId: randomUUID() });
  await expect(serviceOf(trip).run(saga.id, other)).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
  expect(happened).toEqual([]);
  await database.query('DELETE FROM treadle.jobs');
  expect(await serviceOf(trip).run(saga.id, other)).toMatchObject({ kind: 'ended' });
});

describe('a step', () => {
  test('that was begun and not ended is run again under the same key, and that costs it no attempt', async () => {
    const keys: string[] = [];
    const keyed = defineSaga({
      name: 'keyed',
      input: z.object({}),
      steps: [
        {
          name: 'only',
          execute: async ({ idempotencyKey, signal, attempt }) => {
            keys.push(`${idempotencyKey} ${attempt}`);
            if (keys.length === 1) await untilAborted(signal);
          },
        },
      ],
    });
    const sagas = serviceOf(keyed);
    const saga = await sagas.start(keyed, {});
    const shutdown = new AbortController();
    const interrupted = sagas.run(saga.id, attemptOf(saga, shutdown.signal));
    await expect.poll(() => keys.length, { timeout: 5000 }).toBe(1);
    shutdown.abort();
    await expect(interrupted).rejects.toThrow('the step was ended');
    expect((await sagas.get(saga.id)).steps).toMatchObject([{ state: 'running', attempts: 0 }]);
    expect(await sagas.run(saga.id, attemptOf(saga))).toMatchObject({ kind: 'ended' });
    expect(keys).toEqual([`${saga.id}:only 1`, `${saga.id}:only 1`]);
  });

  test('that was committed although nobody heard of it is not done again', async () => {
    const deaf: Pick<Postgres, 'query' | 'transaction'> = {
      query: (text, values) => database.postgres.query(text, values),
      transaction: async (fn, options) => {
        const result = await database.postgres.transaction(fn, options);
        if (options?.name === 'saga trips.book room') throw new Error('Connection terminated unexpectedly');
        return result;
      },
    };
    const postgres = Object.assign(Object.create(database.postgres) as Postgres, deaf);
    const saga = await start();
    const end = await serviceOf(trip, postgres).run(saga.id, attemptOf(saga));
    expect(end).toMatchObject({ kind: 'ended', state: 'completed', result: { told: { room: 3 } } });
    expect(happened).toEqual(['flight', 'room', 'mail']);
    expect(await statesOf(saga)).toEqual(['done', 'done', 'done']);
  });

  test('that takes longer than its time-out has failed', async () => {
    const slow = defineSaga({
      name: 'slow',
      input: z.object({}),
      steps: [{ name: 'only', timeoutMs: 20, attempts: 2, execute: ({ signal }) => untilAborted(signal) }],
    });
    const sagas = serviceOf(slow);
    const saga = await sagas.start(slow, {});
    expect(await sagas.run(saga.id, attemptOf(saga))).toMatchObject({ kind: 'retry', error: { code: 'TIMEOUT' } });
    expect(await sagas.run(saga.id, attemptOf(saga))).toMatchObject({ kind: 'ended', state: 'compensated' });
    expect(await sagas.get(saga.id)).toMatchObject({
      error: { step: 'only', code: 'TIMEOUT', message: 'the step only ran longer than 20 ms' },
      steps: [{ state: 'compensated', attempts: 2, compensationAttempts: 0 }],
    });
  });

  test.each([
    [new Date(), 'must be a JSON value'],
    [{ text: 'a\0' }, 'text: contains NUL or half of a surrogate pair'],
  ])('whose result %j cannot be kept has failed, and says why', async (result, message) => {
    const odd = defineSaga({
      name: 'odd',
      input: z.object({}),
      steps: [{ name: 'only', attempts: 1, execute: () => Promise.resolve(result) }],
    });
    const saga = await serviceOf(odd).start(odd, {});
    expect(await serviceOf(odd).run(saga.id, attemptOf(saga))).toMatchObject({ state: 'compensated' });
    expect((await serviceOf(odd).get(saga.id)).error).toMatchObject({
      code: 'VALIDATION_ERROR',
      message: `the result of the step only: ${message}`,
    });
  });

  test('that the code has no more is named, and what was done stays as it is', async () => {
    const saga = await start();
    fails('mail', new Error('no answer'));
    expect(await run(saga)).toMatchObject({ kind: 'retry' });
    const shorter: SagaDefinition = { ...trip, steps: trip.steps.slice(0, 2) };
    await expect(serviceOf(shorter).run(saga.id, attemptOf(saga))).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: expect.stringContaining('no step mail'),
    });
    expect(await statesOf(saga)).toEqual(['done', 'done', 'running']);
    expect(await run(saga)).toMatchObject({ kind: 'ended', state: 'completed' });
  });
});

test('a saga that has ended is not run again', async () => {
  const saga = await start();
  const first = await run(saga);
  expect(await run(saga)).toEqual(first);
  expect(happened).toEqual(['flight', 'room', 'mail']);
});

test('a process that has not got the saga leaves it alone', async () => {
  const saga = await start();
  const other = serviceOf({ ...trip, name: 'trips.cancel' });
  expect(await other.run(saga.id, attemptOf(saga))).toEqual({ kind: 'unknown' });
  await expect(other.run(randomUUID(), attemptOf(saga))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(other.startByName(trip.name, {})).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

describe('a list', () => {
  test('reads as many rows of its index as it shows', async () => {
    await database.query(
      `INSERT INTO treadle.sagas (name, input, state, error, job_id, finished_at)
       SELECT 'many.' || n / 20, '{}', CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'completed' END,
         CASE WHEN n % 50 = 0 THEN '{}'::jsonb END, gen_random_uuid(), now()
       FROM generate_series(1, 5000) AS n`,
    );
    await database.query('ANALYZE treadle.sagas');
    const planOf = async (where: string): Promise<string> => {
      const rows = await database.query<{ 'QUERY PLAN': string }>(
        `EXPLAIN SELECT * FROM treadle.sagas WHERE ${where} ORDER BY id DESC LIMIT 21`,
      );
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    };
    expect(await planOf(`state = 'failed'`)).toMatch(/Index Scan.* sagas_state/);
    expect(await planOf(`name = 'many.3'`)).toMatch(/Index Scan.* sagas_name/);
    expect(await planOf('true')).toMatch(/Index Scan.* sagas_pkey/);
  });
});

describe('a definition', () => {
  const step = { name: 'one', execute: () => Promise.resolve() };
  const define = (given: Partial<SagaOptions<string, z.ZodObject>>) => () =>
    defineSaga({ name: 'fine', input: z.object({}), steps: [step], ...given });

  test.each([
    [{ name: 'Not fine' }, ['name']],
    [{ steps: [] }, ['steps']],
    [{ steps: [step, step] }, ['steps[1].name']],
    [{ steps: [{ ...step, name: 'a:b' }] }, ['steps[0].name']],
    [{ steps: [{ ...step, attempts: 0, timeoutMs: 1.5 }] }, ['steps[0].attempts', 'steps[0].timeoutMs']],
    [{ steps: Array.from({ length: 70 }, (_, n) => ({ ...step, name: `s${n}` })) }, ['steps']],
    [{ backoff: { delayMs: -1 } }, ['backoff.delayMs']],
  ])('of which %j is wrong is refused, and the place is named', (given, paths) => {
    const faults = paths.map((path) => expect.objectContaining({ path }));
    const refusal = expect.objectContaining({ code: 'VALIDATION_ERROR', details: { faults } });
    expect(define(given)).toThrow(refusal);
  });

  test('has what it leaves out by default', () => {
    expect(define({})()).toMatchObject({
      steps: [{ name: 'one', attempts: 5, compensationAttempts: 10, timeoutMs: 60_000 }],
      backoff: { delayMs: 1_000, maxDelayMs: 300_000 },
    });
  });
});
