import type { BenchOptions } from './benchmarks.ts';
import type { Contestant } from './contestants/contestant.ts';
import { openGraphileWorker } from './contestants/graphile-worker.ts';
import { openPgBoss } from './contestants/pg-boss.ts';
import { openRawBullmq } from './contestants/raw-bullmq.ts';
import { openTreadle, type BenchTreadle } from './contestants/treadle.ts';
import { endToEnd, enqueueing, inBatches, processing, sendAll } from './jobs.ts';
import { describeMachine, load } from './machine.ts';
import { compare } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { backendsOf, startServers, type Backend } from './servers.ts';

interface Sizes {
  readonly rounds: number;
  readonly single: number;
  readonly bulk: number;
}

const sizes = {
  redis: { rounds: 7, single: 20_000, bulk: 20_000 },
  postgres: { rounds: 7, single: 3_000, bulk: 4_000 },
} as const;
const shortSizes: Sizes = { rounds: 1, single: 1_000, bulk: 1_000 };

/** Treadle first. */
type Contestants = readonly Contestant[];
type Measure = (side: Contestant) => Promise<number>;

const bulk = (side: Contestant, count: number): Promise<void> => inBatches(count, (items) => side.addBulk(items));

class QueueBench {
  readonly rows: Row[] = [];
  readonly #backend: Backend;
  readonly #sizes: Sizes;

  constructor(backend: Backend, used: Sizes) {
    this.#backend = backend;
    this.#sizes = used;
  }

  async measure(direct: Contestants, accepted: Contestants, treadle: BenchTreadle): Promise<void> {
    const { single, bulk: count } = this.#sizes;
    const redis = this.#backend === 'redis';
    const least = (atLeast: number): Promised => ({ of: 'ratio', atLeast });
    await this.#compare('direct enqueue', direct, (side) =>
      enqueueing(side, single, () => sendAll(single, (item) => side.add(item))),
    );
    await this.#compare('bulk enqueue', direct, (side) => enqueueing(side, count, () => bulk(side, count)), least(0.9));
    await this.#compare('processing', direct, (side) => processing(side, count, () => bulk(side, count)), least(0.9));
    const scheduler = await treadle.startScheduler();
    const promised = redis ? least(0.8) : undefined;
    await this.#compare('accepted end to end', accepted, (side) => endToEnd(side, count), promised);
    await scheduler.close();
  }

  async #compare(measure: string, sides: Contestants, run: Measure, promised?: Promised): Promise<void> {
    const turns = sides.map((side) => ({ name: side.name, run: () => run(side) }));
    const standings = await compare(this.#sizes.rounds, turns);
    const row = { measure: `${this.#backend} ${measure}`, unit: 'jobs/s', standings };
    this.rows.push(promised ? { ...row, promised } : row);
    const seen = standings.map(({ name, value, ratio }) => `${name} ${Math.round(value)} ${ratio?.toFixed(2) ?? ''}`);
    console.error(`${row.measure}: ${seen.join(', ')}`);
  }
}

/** Enqueueing and processing, all contestants in turns: the same handler, payloads of 1 kB, 50 jobs at once. */
export const benchQueue = async ({ short, backend: asked }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const rows: Row[] = [];
  for (const { backend, postgresUrl, redisUrl } of backendsOf(servers, asked)) {
    const treadle = await openTreadle(postgresUrl, redisUrl);
    const others = [openRawBullmq(postgresUrl, redisUrl)];
    if (backend === 'postgres') others.push(await openPgBoss(postgresUrl), await openGraphileWorker(postgresUrl));
    const bench = new QueueBench(backend, short ? shortSizes : sizes[backend]);
    await bench.measure([treadle.direct, ...others], [treadle.accepted, ...others], treadle);
    rows.push(...bench.rows);
    for (const other of others) await other.close();
    await treadle.close();
  }
  await servers.close();
  report({ name: 'queue', short, machine, loadBefore, rows });
};
