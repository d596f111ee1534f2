import { setTimeout as delay } from 'node:timers/promises';
import type { TenantLimit } from '../src/queues/limits/limit.ts';
import type { BenchOptions } from './benchmarks.ts';
import { concurrency, payload, type Contestant } from './contestants/contestant.ts';
import { openGraphileWorker } from './contestants/graphile-worker.ts';
import { openPgBoss } from './contestants/pg-boss.ts';
import { openRawBullmq } from './contestants/raw-bullmq.ts';
import { accepted, openTreadle, type BenchTreadle } from './contestants/treadle.ts';
import { emptyQueue } from './empty-queue.ts';
import { inBatches, payloads } from './jobs.ts';
import { describeMachine, load } from './machine.ts';
import { percentile } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { backendsOf, startServers, type BackendServers } from './servers.ts';

interface Sizes {
  readonly waiting: number;
  readonly trials: number;
}

const fullSizes: Sizes = { waiting: 100_000, trials: 300 };
const shortSizes: Sizes = { waiting: 5_000, trials: 20 };
const withinOneSecond: Promised = { of: 'value', atMost: 1_000 };
const batch = 1_000;
const shortJobMs = 5;
const longJobMs = 2_000;
const cap = concurrency - 10;
const shares = { p50: 0.5, p99: 0.99, max: 1 };

/** Jobs of tenant A have ids below zero. */
const ofA = (count: number, first: number): (typeof payload)[] => payloads(count, -first - count);

interface Trials extends Sizes {
  /** How long a job of A takes. */
  readonly jobMs: number;
}

/**
 * Tenant A has so many jobs waiting, and more come as they are worked off; how long after its commit a single job of tenant
 * B begins, again and again.
 */
const waitsOfB = async (
  treadle: BenchTreadle,
  producer: BenchTreadle,
  { waiting, trials, jobMs }: Trials,
): Promise<readonly number[]> => {
  const { enqueuer } = producer.platform;
  const a = { sent: 0, begun: 0 };
  const fill = async (): Promise<void> => {
    await enqueuer.enqueueMany(accepted, ofA(batch, a.sent), { tenant: 'a' });
    a.sent += batch;
  };
  while (a.sent < waiting) await fill();
  let began: (atMs: number) => void = () => undefined;
  const worker = await treadle.accepted.startWorker((id) => {
    if (id >= 0) return began(performance.now());
    a.begun += 1;
    return delay(jobMs);
  });
  const over = new AbortController();
  const refilling = (async () => {
    while (!over.signal.aborted) await (a.sent - a.begun < waiting ? fill() : delay(5));
  })();
  const waits: number[] = [];
  while (a.begun < concurrency) await delay(5);
  for (let id = 0; id < trials; id += 1) {
    const beganAt = new Promise<number>((resolve) => (began = resolve));
    await enqueuer.enqueue(accepted, { ...payload, id }, { tenant: 'b' });
    const committedAt = performance.now();
    waits.push(Math.max(0, (await beganAt) - committedAt));
    await delay(Math.random() * 50);
  }
  over.abort();
  await refilling;
  await worker.close();
  await treadle.platform.postgres.query('TRUNCATE treadle.jobs');
  return waits;
};

/** One job behind many others, in the order in which they came. */
const waitBehindAll = async (side: Contestant, { waiting, jobMs }: Trials): Promise<number> => {
  await inBatches(waiting, (items) => side.addBulk(items), -waiting);
  const { promise: began, resolve } = Promise.withResolvers<number>();
  await side.add({ ...payload, id: 0 });
  const startedAt = performance.now();
  const worker = await side.startWorker((id) => (id < 0 ? delay(jobMs) : resolve(performance.now())));
  const waited = (await began) - startedAt;
  await side.settled();
  await worker.close();
  return waited;
};

class FairnessBench {
  readonly rows: Row[] = [];
  readonly #sizes: Sizes;

  constructor(used: Sizes) {
    this.#sizes = used;
  }

  async measureBackend(servers: BackendServers): Promise<void> {
    const { backend, postgresUrl, redisUrl } = servers;
    const short: Trials = { ...this.#sizes, jobMs: shortJobMs };
    const long: Trials = { waiting: batch, trials: Math.ceil(this.#sizes.trials / 3), jobMs: longJobMs };
    const beside: { name: string; value: number }[] = [];
    // Makes BullMQ's tables, which the others find there.
    await (await openTreadle(postgresUrl, redisUrl)).close();
    const others = [openRawBullmq(postgresUrl, redisUrl)];
    if (backend === 'postgres') others.push(await openPgBoss(postgresUrl), await openGraphileWorker(postgresUrl));
    for (const side of others) {
      beside.push({ name: side.name, value: await waitBehindAll(side, short) });
      await side.close();
    }
    await this.#measure(`${backend} short jobs`, servers, short, {}, beside);
    await this.#measure(`${backend} A weighs 10`, servers, short, { a: { weight: 10 } });
    await this.#measure(`${backend} jobs of 2 s, A capped`, servers, long, { a: { concurrency: cap } });
  }

  /** Each with queues of its own making, so that nothing is left of the one before. */
  async #measure(
    measure: string,
    servers: BackendServers,
    trials: Trials,
    limits: Readonly<Record<string, TenantLimit>>,
    beside: readonly { readonly name: string; readonly value: number }[] = [],
  ): Promise<void> {
    const treadle = await openTreadle(servers.postgresUrl, servers.redisUrl);
    const producer = await openTreadle(servers.postgresUrl, servers.redisUrl);
    const { platform } = treadle;
    const set = async (limit: (tenant: string) => TenantLimit | null): Promise<void> => {
      for (const tenant of Object.keys(limits))
        await platform.limits.set('bench', { scope: 'tenant', tenant }, limit(tenant));
    };
    await set((tenant) => limits[tenant] ?? null);
    const scheduler = await treadle.startScheduler();
    const waits = await waitsOfB(treadle, producer, trials);
    await scheduler.close();
    await set(() => null);
    await emptyQueue(await platform.transports.of('bench'));
    await producer.close();
    await treadle.close();
    for (const [name, share] of Object.entries(shares)) {
      const standings = [{ name: 'Treadle', value: percentile(waits, share) }, ...(name === 'p50' ? beside : [])];
      this.rows.push({
        measure: `${measure} ${name}`,
        unit: 'ms',
        standings,
        ...(name === 'max' ? { promised: withinOneSecond } : {}),
      });
    }
    console.error(`${measure}: p50 ${percentile(waits, 0.5).toFixed(1)} max ${percentile(waits, 1).toFixed(1)} ms`);
  }
}

/** How long a tenant's single job waits while another tenant has a hundred thousand waiting. */
export const benchFairness = async ({ short, backend }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const bench = new FairnessBench(short ? shortSizes : fullSizes);
  for (const one of backendsOf(servers, backend)) await bench.measureBackend(one);
  await servers.close();
  report({ name: 'fairness', short, machine, loadBefore, rows: bench.rows });
};
