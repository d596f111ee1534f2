import { setTimeout as delay } from 'node:timers/promises';
import type { BenchOptions } from './benchmarks.ts';
import { apart, payload, type Contestant } from './contestants/contestant.ts';
import { openGraphileWorker } from './contestants/graphile-worker.ts';
import { openPgBoss } from './contestants/pg-boss.ts';
import { openRawBullmq } from './contestants/raw-bullmq.ts';
import { held, openTreadle, type BenchTreadle } from './contestants/treadle.ts';
import { describeMachine, load } from './machine.ts';
import { percentile } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { backendsOf, startServers, type BackendServers } from './servers.ts';
import { nowMs, startWorkerProcess } from './worker-process.ts';

interface Sizes {
  readonly rounds: number;
  readonly seconds: number;
  readonly delayed: number;
  readonly cancels: number;
}

const fullSizes: Sizes = { rounds: 3, seconds: 5, delayed: 500, cancels: 300 };
const shortSizes: Sizes = { rounds: 1, seconds: 1, delayed: 50, cancels: 20 };
const rates = [50, 1_000];
/** Sent at the beginning, and not counted. */
const warmUps = 50;
const delayMs = { least: 1_000, most: 3_000 };
/** By then the ledger calls a job active. */
const notedMs = 120;
const shares = { p50: 0.5, p90: 0.9, p99: 0.99, max: 1 };

/** Sends jobs at a steady rate, however long each takes, and answers how long after its commit each began. */
const enqueueToStart = async (side: Contestant, ratePerSecond: number, seconds: number): Promise<readonly number[]> => {
  const count = ratePerSecond * seconds + warmUps;
  const committedAt: number[] = [];
  const beganAt: number[] = [];
  let began = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const worker = await side.startWorker((id) => {
    beganAt[id] = performance.now();
    began += 1;
    if (began === count) resolve();
  });
  const sent: Promise<void>[] = [];
  const send = async (id: number): Promise<void> => {
    await side.add({ ...payload, id });
    committedAt[id] = performance.now();
  };
  for (const startedAt = performance.now(); sent.length < count; await delay(1)) {
    const due = Math.min(count, ((performance.now() - startedAt) * ratePerSecond) / 1_000);
    while (sent.length < due) sent.push(send(sent.length));
  }
  await Promise.all([...sent, done]);
  await side.settled();
  await worker.close();
  // Some begin before whoever sent them hears of the commit.
  return beganAt.map((at, id) => Math.max(0, at - (committedAt[id] ?? 0))).slice(warmUps);
};

/** How long after its time each of many delayed jobs began. */
const lateness = async (side: Contestant, count: number): Promise<readonly number[]> => {
  const late: number[] = [];
  const dueAt = Array.from({ length: count }, () => {
    const ms = delayMs.least + Math.random() * (delayMs.most - delayMs.least);
    return new Date(Date.now() + Math.round(ms));
  });
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const worker = await side.startWorker((id) => {
    late.push(Math.max(0, performance.timeOrigin + performance.now() - (dueAt[id]?.getTime() ?? 0)));
    if (late.length === count) resolve();
  });
  await Promise.all(dueAt.map((at, id) => side.addAt({ ...payload, id }, at)));
  await done;
  await side.settled();
  await worker.close();
  return late;
};

/** From the call that cancels a running job to the signal of its handler, in another process. */
const cancelToSignal = async (
  { platform }: BenchTreadle,
  { postgresUrl, redisUrl }: BackendServers,
  { count, runningMs }: { readonly count: number; readonly runningMs: number },
): Promise<readonly number[]> => {
  const waiting = new Map<string, (atMs: number) => void>();
  const told = (kind: 'began' | 'aborted', jobId: string): Promise<number> =>
    new Promise((resolve) => waiting.set(`${kind} ${jobId}`, resolve));
  const early = new Map<string, number>();
  const worker = await startWorkerProcess(postgresUrl, redisUrl, (message) => {
    if (message.kind !== 'began' && message.kind !== 'aborted') return;
    const key = `${message.kind} ${message.jobId}`;
    const listener = waiting.get(key);
    if (listener) listener(message.atMs);
    else early.set(key, message.atMs);
  });
  const waited: number[] = [];
  for (let trial = 0; trial < count; trial += 1) {
    const { id } = await platform.enqueuer.enqueue(held, {});
    const began = told('began', id);
    if (!early.has(`began ${id}`)) await began;
    await delay(runningMs);
    const aborted = told('aborted', id);
    const startedAt = nowMs();
    await platform.jobs.cancel(id);
    waited.push((await aborted) - startedAt);
  }
  await worker.close();
  return waited;
};

class LatencyBench {
  readonly rows: Row[] = [];
  readonly #sizes: Sizes;

  constructor(used: Sizes) {
    this.#sizes = used;
  }

  /** In turns, and all rounds' times together: the largest are what they are. */
  async compare(
    measure: string,
    sides: readonly Contestant[],
    run: (side: Contestant) => Promise<readonly number[]>,
  ): Promise<void> {
    const seen = sides.map((side) => ({ side, times: [] as number[] }));
    for (let round = 0; round < this.#sizes.rounds; round += 1) {
      for (const { side, times } of round % 2 === 0 ? seen : seen.toReversed()) times.push(...(await run(side)));
    }
    this.add(
      measure,
      seen.map(({ side, times }) => ({ name: side.name, times })),
    );
  }

  add(
    measure: string,
    all: readonly { readonly name: string; readonly times: readonly number[] }[],
    promised?: { readonly share: string; readonly promised: Promised },
  ): void {
    for (const [name, share] of Object.entries(shares)) {
      this.rows.push({
        measure: `${measure} ${name}`,
        unit: 'ms',
        standings: all.map((one) => ({ name: one.name, value: percentile(one.times, share) })),
        detail: name !== 'p50' && name !== 'p99',
        ...(promised?.share === name ? { promised: promised.promised } : {}),
      });
    }
    const middles = all.map(({ name, times }) => `${name} ${percentile(times, 0.5).toFixed(1)}`);
    console.error(`${measure}: p50 ${middles.join(', ')}`);
  }

  async measureBackend(servers: BackendServers): Promise<void> {
    const { backend, postgresUrl, redisUrl } = servers;
    const [treadle, producer] = [await openTreadle(postgresUrl, redisUrl), await openTreadle(postgresUrl, redisUrl)];
    const accepted = apart(producer.accepted, treadle.accepted);
    const direct = apart(producer.direct, treadle.direct);
    const raw = apart(openRawBullmq(postgresUrl, redisUrl), openRawBullmq(postgresUrl, redisUrl));
    const others =
      backend === 'postgres'
        ? [apart(await openPgBoss(postgresUrl), await openPgBoss(postgresUrl)), await openGraphileWorker(postgresUrl)]
        : [];
    const scheduler = await treadle.startScheduler();
    for (const rate of rates)
      await this.compare(`${backend} ${rate}/s`, [accepted, raw, ...others], (side) =>
        enqueueToStart(side, rate, this.#sizes.seconds),
      );
    await this.compare(`${backend} direct ${rates[0]}/s`, [direct, raw], (side) =>
      enqueueToStart(side, rates[0] ?? 0, this.#sizes.seconds),
    );
    await this.compare(`${backend} lateness of delayed`, [accepted, raw, ...others], (side) =>
      lateness(side, this.#sizes.delayed),
    );
    for (const [when, runningMs] of [
      ['just begun', 0],
      ['noted as active', notedMs],
    ] as const) {
      const times = await cancelToSignal(producer, servers, { count: this.#sizes.cancels, runningMs });
      this.add(`${backend} cancel to signal, ${when},`, [{ name: 'Treadle', times }], {
        share: 'p99',
        promised: { of: 'value', atMost: 100 },
      });
    }
    await scheduler.close();
    for (const side of [accepted, raw, ...others]) await side.close();
  }
}

/** How long jobs wait that need not: from their commit to the start of their handler, with a worker that has free hands. */
export const benchLatency = async ({ short, backend }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const bench = new LatencyBench(short ? shortSizes : fullSizes);
  for (const one of backendsOf(servers, backend)) await bench.measureBackend(one);
  await servers.close();
  report({ name: 'latency', short, machine, loadBefore, rows: bench.rows });
};
