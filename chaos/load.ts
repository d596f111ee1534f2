import { setTimeout as delay } from 'node:timers/promises';
import type { JobContract } from '../src/queues/define-job.ts';
import { AppError } from '../src/lib/errors/app-error.ts';
import { effect, flowParent, goodChildren, hopeless, onceEffect, plain, poison } from './app/jobs.ts';
import { untilAnswered, type ChaosApp } from './app/open-app.ts';
import type { Random } from './random.ts';

/** What the audit holds a job to; see {@link auditRules}. */
export type Kind = 'plain' | 'effect' | 'once' | 'flow' | 'poison' | 'hopeless' | 'far' | 'raced' | 'block';

interface PlannedJob {
  readonly key: string;
  readonly kind: Kind;
  readonly ms: number;
  readonly delayMs: number;
  readonly tenant: string;
  readonly priority: number;
}

const contractOf: Readonly<Record<Exclude<Kind, 'block'>, JobContract>> = {
  plain,
  effect,
  once: onceEffect,
  flow: flowParent,
  poison,
  hopeless,
  // Due long after the run; cancelled before.
  far: plain,
  // Cancelled while they wait, run or end.
  raced: effect,
};

/** Of a hundred jobs; flows bring children, so they count for more. */
const shares: readonly (readonly [Exclude<Kind, 'block'>, number])[] = [
  ['plain', 42],
  ['effect', 34],
  ['once', 12],
  ['poison', 3],
  ['hopeless', 2],
  ['far', 2],
  ['raced', 4],
  ['flow', 1],
];
const kinds = shares.flatMap(([kind, share]) => Array.from({ length: share }, () => kind));
const jobsOf = (kind: Kind): number => (kind === 'flow' ? goodChildren + 2 : 1);
const hourMs = 3_600_000;
const batchSize = 200;

/** Jobs of all kinds, as many as are wanted with the children of flows counted. */
export const planJobs = (jobs: number, random: Random, prefix: string): readonly PlannedJob[] => {
  const planned: PlannedJob[] = [];
  for (let count = 0; count < jobs;) {
    const kind = random.pick(kinds);
    const isLong = random.next() < 0.2;
    const isDelayed = random.next() < 0.08;
    planned.push({
      key: `${prefix}${planned.length}`,
      kind,
      ms: isLong ? random.int(50, 400) : random.int(0, 4),
      delayMs: kind === 'far' ? hourMs : isDelayed ? random.int(1, 3_000) : 0,
      tenant: `tenant-${random.int(0, 4)}`,
      priority: random.int(1, 9),
    });
    count += jobsOf(kind);
  }
  return planned;
};

/**
 * Enqueues a batch and notes in the same transaction what was enqueued: an answer that a cut connection swallowed leaves no
 * doubt. Answers the ids by key.
 */
const enqueueBatch = ({ platform }: ChaosApp, batch: readonly PlannedJob[]): Promise<ReadonlyMap<string, string>> =>
  untilAnswered(async () => {
    const keys = batch.map(({ key }) => key);
    const { rows: known } = await platform.postgres.query<{ key: string; job_id: string }>(
      'SELECT key, job_id FROM chaos.expected WHERE key = ANY ($1)',
      [keys],
    );
    if (known.length > 0) return new Map(known.map((row) => [row.key, row.job_id]));
    return platform.postgres.transaction(async (tx) => {
      const requests = batch.map(({ kind, key, ms, delayMs, tenant, priority }) => ({
        name: (kind === 'block' ? plain : contractOf[kind]).name,
        payload: { key, ms },
        options: { tenant, priority, ...(delayMs > 0 ? { delayMs } : {}) },
      }));
      const ids = (await platform.enqueuer.enqueueBatch(requests, { tx })).map(({ id }) => id);
      await tx.query(
        'INSERT INTO chaos.expected (job_id, key, kind) SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[])',
        [ids, keys, batch.map(({ kind }) => kind)],
      );
      return new Map(ids.map((id, n) => [keys[n] ?? '', id]));
    });
  });

/** Cancels the job, and notes it when the answer was that it is cancelled. */
const cancel = async (app: ChaosApp, id: string): Promise<void> => {
  const state = await untilAnswered(async () => {
    try {
      return (await app.platform.jobs.cancel(id)).state;
    } catch (error) {
      if (error instanceof AppError && error.code === 'DATA_CONSISTENCY_ERROR') return 'finished';
      throw error;
    }
  });
  if (state === 'cancelled') await app.query('UPDATE chaos.expected SET cancelled = true WHERE job_id = $1', [id]);
};

/** Enqueues all, and cancels those that are planned to be; a few batches a second, so that the faults come in between. */
export const runLoad = async (app: ChaosApp, jobs: readonly PlannedJob[]): Promise<void> => {
  let cancelling: Promise<unknown> = Promise.resolve();
  for (let start = 0; start < jobs.length; start += batchSize) {
    const batch = jobs.slice(start, start + batchSize);
    const ids = await enqueueBatch(app, batch);
    const doomed = batch
      .filter(({ kind }) => kind === 'far' || kind === 'raced')
      .flatMap(({ key }) => ids.get(key) ?? []);
    cancelling = Promise.all([cancelling, ...doomed.map((id) => cancel(app, id))]);
    await delay(20);
  }
  await cancelling;
};
