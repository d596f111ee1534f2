import { expect } from 'vitest';
import { isFinished, type ModelJob, type QueueModel } from './queue-model.ts';
import type { ScriptedQueue } from './scripted-queue.ts';

interface RealJob extends Record<string, unknown> {
  readonly id: string;
  readonly state: string;
  readonly attempts: number;
  readonly priority: number;
  readonly result: unknown;
  readonly failures: readonly string[];
}

export interface Fidelity {
  /** `exact`: nothing was broken, and every job ran as often as in the model. `at-least`: jobs may have run more often. */
  readonly runs: 'exact' | 'at-least';
}

const openNow = `SELECT id, state FROM treadle.jobs WHERE NOT (state = 'delayed' AND due_at > now() + interval '10 minutes')`;

const readJobs = (queue: ScriptedQueue): Promise<RealJob[]> =>
  queue.database.query<RealJob>(
    `SELECT id, state::text, attempts_made AS attempts, priority, result,
       ARRAY(SELECT failure -> 'error' ->> 'message' FROM jsonb_array_elements(failures) AS failure) AS failures
     FROM treadle.all_jobs ORDER BY id`,
  );

/**
 * Of a cancel that raced with the job either may have won. Where it did, how far the job came is taken from the real one,
 * which can have done no more than the model. A job that could be cancelled does not stay.
 */
const settleDoomed = (job: ModelJob, real: RealJob | undefined, runs: number): void => {
  if (!job.doomed) return;
  job.doomed = false;
  if (real?.state !== 'cancelled') {
    expect(isFinished(job), `job ${job.id} was cancelled while it was open, and is ${real?.state}`).toBe(true);
    return;
  }
  expect(runs).toBeLessThanOrEqual(job.runs);
  expect(job.failures).toEqual(expect.arrayContaining([...real.failures]));
  job.state = 'cancelled';
  job.attempts = real.attempts;
  job.runs = runs;
  job.failures.splice(real.failures.length);
  job.result = null;
};

/** Waits until the real queue has done all it may do, lets the model do the same, and compares them. */
export const expectAgreement = async (model: QueueModel, queue: ScriptedQueue, { runs }: Fidelity): Promise<void> => {
  await expect.poll(() => queue.database.query(openNow), { timeout: 20_000, interval: 20 }).toEqual([]);
  model.settle();
  const real = await readJobs(queue);
  for (const job of model.jobs)
    settleDoomed(
      job,
      real.find(({ id }) => id === job.id),
      queue.runs.get(job.id) ?? 0,
    );
  const expected = model.jobs.map(({ id, state, attempts, priority, result, failures }) => ({
    id,
    state,
    attempts,
    priority,
    result,
    failures,
  }));
  expect(real).toEqual(expected.toSorted((a, b) => (a.id < b.id ? -1 : 1)));
  for (const job of model.jobs) {
    const ran = queue.runs.get(job.id) ?? 0;
    if (runs === 'exact') expect(ran, `runs of job ${job.id}`).toBe(job.runs);
    else expect(ran, `runs of job ${job.id}`).toBeGreaterThanOrEqual(job.runs);
    job.runs = ran;
  }
  const { items } = await queue.treadle.platform.deadLetters.list({}, { limit: 100 });
  const dead = model.jobs.filter(({ state }) => state === 'dead').map(({ id }) => id);
  expect(items.map(({ id }) => id).toSorted()).toEqual(dead.toSorted());
};
