import * as fc from 'fast-check';
import { expect } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import type { EnqueueOptions } from '../../../src/queues/ports.ts';
import { expectAgreement, type Fidelity } from './agreement.ts';
import { isFinished, longMs, type ModelJob, type ModelRequest, type QueueModel, type Step } from './queue-model.ts';
import { scripted, type ScriptedQueue } from './scripted-queue.ts';

type Command = fc.AsyncCommand<QueueModel, ScriptedQueue>;

const command = (
  text: string,
  run: (model: QueueModel, queue: ScriptedQueue) => Promise<void>,
  check: (model: Readonly<QueueModel>) => boolean = () => true,
): Command => ({ check, run, toString: () => text });

const codeOf = (error: unknown): string => (error instanceof AppError ? error.code : String(error));

const optionsOf = ({ tenant, priority, attemptsAllowed, delayed, deduplicationKey }: ModelRequest): EnqueueOptions => ({
  tenant,
  priority,
  attempts: attemptsAllowed,
  ...(delayed ? { delayMs: longMs } : {}),
  ...(deduplicationKey === undefined ? {} : { deduplicationKey }),
});

const enqueue = (request: ModelRequest): Command =>
  command(
    `enqueue ${JSON.stringify(request)}`,
    async (model, { treadle }) => {
      const { n, script } = request;
      const { id } = await treadle.platform.enqueuer.enqueue(scripted, { n, script: [...script] }, optionsOf(request));
      const before = model.standIn(request);
      if (before && before !== 'unknown') expect(id).toBe(before.id);
      model.accept(request, id);
    },
    (model) => model.standIn(request) !== 'unknown',
  );

/** The same request again answers the same job; another one with its key is refused. */
const enqueueOnce = (key: string, request: ModelRequest): Command =>
  command(
    `enqueue once by ${key} ${JSON.stringify(request)}`,
    async (model, { treadle }) => {
      const { n, script } = request;
      const options = { ...optionsOf(request), idempotencyKey: key };
      const before = model.idempotent.get(key);
      const again = (): Promise<{ readonly id: string }> =>
        treadle.platform.enqueuer.enqueue(scripted, { n, script: [...script] }, options);
      if (before) {
        await expect(again().catch(codeOf)).resolves.toBe('IDEMPOTENCY_CONFLICT');
        return;
      }
      const { id } = await again();
      expect((await again()).id).toBe(id);
      model.accept(request, id);
      model.idempotent.set(key, { request, id });
    },
    (model) => model.standIn(request) === undefined,
  );

/** The job that the number stands for, of those there are. */
const jobAt = ({ jobs }: Readonly<QueueModel>, at: number): ModelJob | undefined => jobs[at % Math.max(1, jobs.length)];

const onJob = (
  verb: string,
  at: number,
  run: (job: ModelJob, queue: ScriptedQueue, model: QueueModel) => Promise<void>,
): Command =>
  command(
    `${verb} job ${at}`,
    async (model, queue) => {
      const job = jobAt(model, at);
      if (job) await run(job, queue, model);
    },
    (model) => model.jobs.length > 0,
  );

const cancel = (at: number): Command =>
  onJob('cancel', at, async (job, { treadle }, { paused }) => {
    const answer = await treadle.platform.jobs.cancel(job.id).then(({ state }) => state, codeOf);
    if (isFinished(job)) expect(answer).toBe('DATA_CONSISTENCY_ERROR');
    else if (job.state === 'delayed' || paused) {
      expect(answer).toBe('cancelled');
      job.state = 'cancelled';
    } else job.doomed ||= answer !== 'DATA_CONSISTENCY_ERROR';
  });

const retry = (at: number): Command =>
  onJob('retry', at, async (job, queue, model) => {
    if (job.state === 'pending') return;
    const wasDelayed = job.state === 'delayed';
    if (!wasDelayed) queue.beginAgain(job.id);
    const answer = await queue.treadle.platform.jobs.retry(job.id).then(() => 'ok', codeOf);
    expect(answer).toBe(job.state === 'completed' ? 'DATA_CONSISTENCY_ERROR' : 'ok');
    if (wasDelayed) job.state = 'pending';
    else if (answer === 'ok') model.reopen(job);
  });

const promote = (at: number): Command =>
  onJob('promote', at, async (job, { treadle }) => {
    if (job.state === 'pending') return;
    const answer = await treadle.platform.jobs.promote(job.id).then(() => 'ok', codeOf);
    expect(answer).toBe(job.state === 'delayed' ? 'ok' : 'DATA_CONSISTENCY_ERROR');
    if (job.state === 'delayed') job.state = 'pending';
  });

/** The oldest dead letters, whose fault is mended before. */
const redrive = (limit: number): Command =>
  command(`mend and redrive ${limit} dead letters`, async (model, queue) => {
    // Of pending jobs nobody knows which will be dead by then.
    const known = model.jobs.filter(({ state }) => state === 'dead').toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const chosen = known.slice(0, limit);
    for (const job of chosen) {
      queue.mended.add(job.id);
      queue.beginAgain(job.id);
    }
    const ids = chosen.map(({ id }) => id);
    expect(await queue.treadle.platform.deadLetters.redrive({ ids }, limit)).toBe(chosen.length);
    for (const job of chosen) {
      job.mended = true;
      model.reopen(job);
    }
  });

const settle = (fidelity: Fidelity): Command =>
  command(
    'all is quiet',
    (model, queue) => expectAgreement(model, queue, fidelity),
    ({ paused }) => !paused,
  );

/** While it is paused nothing begins. */
const pause = (fidelity: Fidelity): Command =>
  command(
    'pause',
    async (model, queue) => {
      await expectAgreement(model, queue, fidelity);
      await queue.treadle.platform.queues.pause(scripted.queue);
      model.paused = true;
    },
    ({ paused }) => !paused,
  );

const expectNoneRan = ({ jobs }: QueueModel, { runs }: ScriptedQueue): void => {
  for (const { id, runs: before } of jobs) expect(runs.get(id) ?? 0, `runs of job ${id}`).toBe(before);
};

export const resume = command(
  'resume',
  async (model, queue) => {
    expectNoneRan(model, queue);
    await queue.treadle.platform.queues.resume(scripted.queue);
    model.paused = false;
  },
  ({ paused }) => paused,
);

/** What runs meanwhile would be late for it or not, so there is nothing that runs. */
const passTime = (fidelity: Fidelity): Command =>
  command('an hour passes', async (model, queue) => {
    if (!model.paused) await expectAgreement(model, queue, fidelity);
    await queue.database.query(
      `UPDATE treadle.jobs SET due_at = due_at - make_interval(secs => $1) WHERE state = 'delayed'`,
      [longMs / 1_000],
    );
    model.passTime();
  });

const flush = command('Redis is flushed', async (_, { redis }) => {
  await redis?.client.flushdb();
});

const always: readonly Step['ending'][] = ['complete', 'fail', 'fail-for-long', 'permanent'];

export interface CommandOptions extends Fidelity {
  readonly flushes: boolean;
}

/** Random commands. `flushes` also wipes Redis now and then. */
export const commandsOf = ({ flushes, ...fidelity }: CommandOptions, maxCommands: number) => {
  // A repeated run uses up one "not yet", so after a flush only those count that do not change what follows.
  const endings = flushes ? always : [...always, 'put-off-for-long' as const];
  const script = fc.array(fc.record({ putOffs: fc.integer({ min: 0, max: 2 }), ending: fc.constantFrom(...endings) }), {
    maxLength: 3,
  });
  const request = fc.record({
    n: fc.integer({ min: 0, max: 1_000_000 }),
    script,
    tenant: fc.constantFrom('', 'a', 'b'),
    priority: fc.integer({ min: 1, max: 9 }),
    attemptsAllowed: fc.integer({ min: 1, max: 3 }),
    delayed: fc.boolean(),
    deduplicationKey: fc.option(fc.constantFrom('x', 'y'), { nil: undefined }),
  });
  const at = fc.nat({ max: 1_000 });
  const often = [request.map(enqueue), request.map(enqueue), request.map(enqueue)];
  const arbitraries: fc.Arbitrary<Command>[] = [
    ...often,
    fc.tuple(fc.constantFrom('k1', 'k2', 'k3'), request).map(([key, what]) => enqueueOnce(key, what)),
    at.map(cancel),
    at.map(cancel),
    at.map(retry),
    at.map(promote),
    fc.integer({ min: 1, max: 3 }).map(redrive),
    fc.constant(pause(fidelity)),
    fc.constant(resume),
    fc.constant(settle(fidelity)),
    fc.constant(passTime(fidelity)),
    ...(flushes ? [fc.constant(flush), fc.constant(flush)] : []),
  ];
  return fc.commands(arbitraries, { maxCommands, size: 'max' });
};
