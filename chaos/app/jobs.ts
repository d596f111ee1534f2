import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Queryable } from '../../src/lib/postgres/queryable.ts';
import { defineJob, type JobContract } from '../../src/queues/define-job.ts';
import { defineJobs } from '../../src/queues/app-jobs/define-jobs.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle, type AnyHandler, type JobContext } from '../../src/queues/handle.ts';
import { awaitChildren, completed, permanent, retryable } from '../../src/queues/outcome.ts';
import { once } from '../../src/queues/once.ts';

/** Short, so that what a silent worker had is taken over soon. */
const lockMs = Number(process.env['CHAOS_LOCK_MS'] ?? '2000');
export const queues = [
  defineQueue({ name: 'chaos-a', concurrency: 20, lockMs }),
  defineQueue({ name: 'chaos-b', concurrency: 20, lockMs }),
];

/** `key` names the job in the audit; the handler works for `ms`. */
const payload = z.object({ key: z.string(), ms: z.number().int().min(0) });
// So many that a handler whose statements fail while Postgres is away outlives it.
const patient = { payload, attempts: 200, backoff: { type: 'fixed', delayMs: 200 }, timeoutMs: 10_000 } as const;

/** Notes each of its runs. */
export const plain = defineJob({ name: 'chaos.plain', queue: 'chaos-a', ...patient });
/** One effect, in the transaction that completes it. */
export const effect = defineJob({ name: 'chaos.effect', queue: 'chaos-b', ...patient });
/** One effect by `once`, in the first of three attempts; the first two fail on purpose. */
export const onceEffect = defineJob({ name: 'chaos.once', queue: 'chaos-a', ...patient });
/** Two parts: spawns children, then counts how they ended; an effect of its own with the second. */
export const flowParent = defineJob({ name: 'chaos.flow', queue: 'chaos-b', ...patient });
/** Stands still past the lock, with the whole process, the first time it runs. */
export const block = defineJob({ name: 'chaos.block', queue: 'chaos-b', ...patient });
/** What the schedules make. */
export const tick = defineJob({ name: 'chaos.tick', queue: 'chaos-a', ...patient });
/** Fails for good at once. */
export const poison = defineJob({ name: 'chaos.poison', queue: 'chaos-b', payload });
/** Fails until it has no attempts left. */
export const hopeless = defineJob({
  name: 'chaos.hopeless',
  queue: 'chaos-a',
  payload,
  attempts: 3,
  backoff: { type: 'fixed', delayMs: 50 },
});

export const goodChildren = 3;
export const failedAttempts = 2;

type Context = JobContext<JobContract<string, typeof payload>>;

const work = ({ payload: { ms }, signal }: Context): Promise<void> => delay(ms, undefined, { signal });

const noteRun = ({ platform, job }: Context): Promise<unknown> =>
  platform.postgres.query('INSERT INTO chaos.runs (job_id, worker) VALUES ($1, $2)', [job.id, platform.processId]);

const insertEffect = (tx: Queryable, key: string, { platform }: Context): Promise<unknown> =>
  tx.query('INSERT INTO chaos.effects (key, worker) VALUES ($1, $2)', [key, platform.processId]);

const completeWithEffect = (context: Context, result: unknown, key = context.payload.key) =>
  context.platform.postgres.transaction(async (tx) => {
    await insertEffect(tx, key, context);
    return context.completeIn(tx, result);
  });

const runFlow = async (context: Context) => {
  const {
    payload: { key },
    children,
  } = context;
  if (children.awaited === 0) {
    await children.spawn(
      effect,
      Array.from({ length: goodChildren }, (_, n) => ({ key: `${key}.${n}`, ms: 1 })),
    );
    await children.spawn(poison, [{ key: `${key}.poison`, ms: 0 }]);
    return awaitChildren({ onChildFailure: 'continue' });
  }
  const { completed: good, dead, total } = await children.counts();
  return completeWithEffect(context, { good, dead, total });
};

const runBlock = async (context: Context) => {
  const { platform, job } = context;
  await noteRun(context);
  const { rows } = await platform.postgres.query('SELECT FROM chaos.runs WHERE job_id = $1', [job.id]);
  if (rows.length === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lockMs * 3.5);
  return completeWithEffect(context, context.payload.key);
};

const runOnce = async (context: Context) => {
  const {
    platform,
    payload: { key },
    job,
  } = context;
  await work(context);
  await platform.postgres.transaction(async (tx) => {
    if (await once(tx, `chaos:${key}`)) await insertEffect(tx, key, context);
  });
  if (job.attempt <= failedAttempts) return retryable(new Error('fails on purpose'), 20);
  return completed(key);
};

const runEffect = async (context: Context) => {
  await work(context);
  return completeWithEffect(context, context.payload.key);
};

/** All jobs of a schedule have one payload. */
const runTick = (context: Context) => completeWithEffect(context, context.payload.key, context.job.id);

const handlers: readonly AnyHandler[] = [
  handle(plain, async (context) => {
    await noteRun(context);
    await work(context);
    return completed(context.payload.key);
  }),
  handle(effect, runEffect),
  handle(tick, runTick),
  handle(onceEffect, runOnce),
  handle(flowParent, runFlow),
  handle(block, runBlock),
  handle(poison, async () => permanent(new Error('poison'))),
  handle(hopeless, async () => retryable(new Error('no use'))),
];

/** What TREADLE_JOBS of the app's processes loads. */
export default defineJobs({ handlers, queues });
