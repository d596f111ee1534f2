import { setTimeout as delay } from 'node:timers/promises';
import { audit, readFigures, type AuditOptions, type Breach, type Figures } from './audit.ts';
import { block, queues, tick } from './app/jobs.ts';
import { untilAnswered, type ChaosApp } from './app/open-app.ts';
import { planJobs, runLoad } from './load.ts';
import { createRandom, type Random } from './random.ts';
import type { Backend } from './servers.ts';
import type { Size } from './sizes.ts';

/** What a case has to do its faults with. */
export interface Scene {
  readonly app: ChaosApp;
  readonly random: Random;
  /** The lock of the app's queues. */
  readonly lockMs: number;
  /** As many moments of the run as are asked for (fewer in a short run), spread over it by chance; each comes when so many jobs have finished. */
  readonly moments: (count: number) => AsyncIterable<number>;
  /** What went wrong with a fault itself. */
  readonly complain: (rule: string, what: string) => void;
}

/** One kind of fault. */
export interface ChaosCase extends AuditOptions {
  readonly name: string;
  readonly backends: readonly Backend[];
  /** Makes the faults while jobs run, and puts everything back in its place. */
  makeFaults(scene: Scene): Promise<void>;
}

export interface CaseOptions extends Pick<Size, 'jobs' | 'lockMs' | 'mostFaults'> {
  readonly seed: number;
}

export interface CaseResult extends Figures {
  readonly case: string;
  readonly backend: Backend;
  readonly seed: number;
  readonly seconds: number;
  /** From the end of the last fault until all was quiet. */
  readonly secondsToQuiet: number;
  /** Results of stale attempts that were not written. */
  readonly refused: number;
  /** How often the reconciler, which looks after a minute, found jobs that their queue had lost. */
  readonly reconciled: number;
  readonly breaches: readonly Breach[];
}

/** Beyond what the reconciler needs to find a job that its queue lost: its time-out of 10 s, a minute, and the wait for its turn. */
const stuckMs = 120_000;
const schedules = 2;
const blockedJobs = 3;

const finishedJobs = async (app: ChaosApp): Promise<number> => {
  const [row] = await app.query<{ jobs: number }>('SELECT count(*)::integer AS jobs FROM treadle.finished_jobs');
  return row?.jobs ?? 0;
};

const sceneOf = (
  app: ChaosApp,
  { seed, jobs, lockMs, mostFaults }: CaseOptions,
  name: string,
  complaints: Breach[],
): Scene => {
  const random = createRandom(seed, `${name} faults`);
  return {
    app,
    random,
    lockMs,
    complain: (rule, what) => void complaints.push({ rule, ids: [what], count: 1 }),
    moments: async function* moments(count) {
      const shares = Array.from({ length: Math.min(count, mostFaults) }, () => 0.05 + random.next() * 0.8).toSorted(
        (a, b) => a - b,
      );
      for (const [index, share] of shares.entries()) {
        const deadline = Date.now() + stuckMs;
        while ((await finishedJobs(app)) < share * jobs && Date.now() < deadline) await delay(20);
        await delay(random.int(0, 50));
        yield index;
      }
    },
  };
};

/** Two schedules fire each second as long as the case runs. */
const putSchedules = async (app: ChaosApp): Promise<void> => {
  for (let n = 0; n < schedules; n += 1) {
    await app.platform.schedules.put(`every-second-${n}`, {
      jobName: tick.name,
      payload: { key: `tick-${n}`, ms: 1 },
      everyMs: 1_000,
      misfire: 'all',
    });
  }
};

/** One after another, so that there is a worker to take over. */
const enqueueBlocks = (app: ChaosApp, prefix: string, lockMs: number): Promise<void> =>
  app.platform.postgres.transaction(async (tx) => {
    for (let n = 0; n < blockedJobs; n += 1) {
      const key = `${prefix}block-${n}`;
      const { id } = await app.platform.enqueuer.enqueue(block, { key, ms: 0 }, { tx, delayMs: n * lockMs * 4 });
      await tx.query(`INSERT INTO chaos.expected (job_id, key, kind) VALUES ($1, $2, 'block')`, [id, key]);
    }
  });

/** Waits until no job is open; gives up when nothing has ended for {@link stuckMs}. */
const untilQuiet = async (app: ChaosApp): Promise<void> => {
  let last = { open: -1, at: Date.now() };
  for (; ; await delay(100)) {
    const [row] = await app.query<{ open: number }>(
      `SELECT count(*)::integer AS open FROM treadle.jobs WHERE name LIKE 'chaos.%'`,
    );
    const open = row?.open ?? -1;
    if (open === 0) return;
    if (open !== last.open) last = { open, at: Date.now() };
    if (Date.now() - last.at > stuckMs) return;
  }
};

/** What lies in the queues when every job has ended: entries of ended jobs are taken out by whoever comes upon them. */
const leftInQueues = async (app: ChaosApp): Promise<readonly string[]> => {
  for (const deadline = Date.now() + 15_000; ; await delay(100)) {
    const left: string[] = [];
    for (const { name } of queues) {
      const transport = await app.platform.transports.of(name);
      const entries = await untilAnswered(() => transport.backlog());
      if (entries > 0) left.push(`${name}: ${entries}`);
    }
    if (left.length === 0 || Date.now() > deadline) return left;
  }
};

const countWarnings = async (app: ChaosApp): Promise<Pick<CaseResult, 'refused' | 'reconciled'>> => ({
  refused: (await app.countEvents('attempt.lock-lost')) + (await app.countEvents('attempt.refused')),
  reconciled: await app.countEvents('reconciler.jobs-lost'),
});

/**
 * Runs one case: the load and the faults beside each other, until all is quiet; then looks at everything that is left. The
 * same seed makes the same jobs, and the same faults at the same shares of the work.
 */
export const runCase = async (app: ChaosApp, chaosCase: ChaosCase, options: CaseOptions): Promise<CaseResult> => {
  const { name } = chaosCase;
  const { seed, jobs } = options;
  const breaches: Breach[] = [];
  await app.clear();
  await app.processes.replenish();
  const before = await countWarnings(app);
  const startedAt = performance.now();
  const prefix = `${name}-${seed}-`;
  await putSchedules(app);
  if (name === 'blocked-loop') await enqueueBlocks(app, prefix, options.lockMs);
  const makeFaults = async (): Promise<number> => {
    await chaosCase.makeFaults(sceneOf(app, options, name, breaches));
    return performance.now();
  };
  const load = planJobs(jobs, createRandom(seed, `${name} load`), prefix);
  const [faultsEndedAt] = await Promise.all([makeFaults(), runLoad(app, load)]);
  await app.query(`UPDATE treadle.schedules SET paused = true WHERE name LIKE 'every-second-%'`);
  await untilQuiet(app);
  const quietAt = performance.now();
  breaches.push(...(await audit(app, chaosCase)));
  const left = await leftInQueues(app);
  if (left.length > 0) breaches.push({ rule: 'left in a queue', ids: left, count: left.length });
  const after = await countWarnings(app);
  return {
    case: name,
    backend: app.backend,
    seed,
    ...(await readFigures(app)),
    seconds: (quietAt - startedAt) / 1_000,
    secondsToQuiet: (quietAt - faultsEndedAt) / 1_000,
    refused: after.refused - before.refused,
    reconciled: after.reconciled - before.reconciled,
    breaches,
  };
};
