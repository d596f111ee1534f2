import type { BenchOptions } from './benchmarks.ts';
import type { Contestant } from './contestants/contestant.ts';
import { openGraphileWorker } from './contestants/graphile-worker.ts';
import { openPgBoss } from './contestants/pg-boss.ts';
import { openRawBullmq } from './contestants/raw-bullmq.ts';
import { openTreadle } from './contestants/treadle.ts';
import { inBatches } from './jobs.ts';
import { describeMachine, load } from './machine.ts';
import { median } from './measure.ts';
import { report, type Row } from './report.ts';
import { backendsOf, startServers, type BackendServers } from './servers.ts';
import { startWorkerProcess, type Memory, type WorkerProcess } from './worker-process.ts';

interface Sizes {
  readonly few: number;
  readonly many: number;
  /** Of one measurement. */
  readonly jobs: number;
  readonly rounds: number;
}

const sizesOf = ({ short, jobs }: BenchOptions): Sizes =>
  short
    ? { few: 1_000, many: jobs ?? 10_000, jobs: 5_000, rounds: 1 }
    : { few: 1_000, many: jobs ?? 1_000_000, jobs: 30_000, rounds: 3 };

const batch = 1_000;
const samples = 20;
const flatMb = 5;
const largestGrowth = 1.5;

/** One queue, whose jobs are counted as they are handled. */
class Line {
  readonly #side: Contestant;
  #handled = 0;
  #sent = 0;
  #goal = Number.POSITIVE_INFINITY;
  #reached = (): void => undefined;

  constructor(side: Contestant) {
    this.#side = side;
  }

  get waiting(): number {
    return this.#sent - this.#handled;
  }

  get handled(): number {
    return this.#handled;
  }

  readonly note = (count: number): void => {
    this.#handled += count;
    if (this.#handled >= this.#goal) this.#reached();
  };

  async until(handled: number): Promise<void> {
    if (this.#handled >= handled) return;
    await new Promise<void>((resolve) => {
      this.#goal = handled;
      this.#reached = resolve;
    });
    this.#goal = Number.POSITIVE_INFINITY;
  }

  /** Answers how many milliseconds each took. */
  async insert(count: number): Promise<number> {
    const startedAt = performance.now();
    await inBatches(count, (items) => this.#side.addBulk(items));
    this.#sent += count;
    return (performance.now() - startedAt) / count;
  }

  /**
   * Works off so many jobs while as many come in, so that about as many wait in the end as in the beginning. Answers how
   * many milliseconds each took, its insert included.
   */
  async turnOver(count: number, waiting: number): Promise<number> {
    const goal = this.#handled + count;
    const startedAt = performance.now();
    while (this.#handled < goal) {
      if (this.waiting <= waiting) await this.insert(batch);
      else await this.until(Math.min(goal, this.#handled + this.waiting - waiting));
    }
    return (performance.now() - startedAt) / count;
  }
}

interface Costs {
  readonly inserts: readonly number[];
  readonly ends: readonly number[];
}

const costsAt = async (line: Line, waiting: number, { jobs, rounds }: Sizes): Promise<readonly number[]> => {
  const costs: number[] = [];
  // The first is not counted: connections, code and caches are cold.
  for (let round = 0; round <= rounds; round += 1) {
    const cost = await line.turnOver(round === 0 ? Math.ceil(jobs / 3) : jobs, waiting);
    if (round > 0) costs.push(cost);
  }
  return costs;
};

const insertsOf = async (line: Line, { jobs, rounds }: Sizes, total: number): Promise<readonly number[]> => {
  const costs: number[] = [];
  for (let left = total; left > 0; left -= jobs) costs.push(await line.insert(Math.min(jobs, left)));
  return costs.slice(-rounds);
};

/** Megabytes a hundred thousand jobs, by least squares. */
const slopeOf = (points: readonly { readonly jobs: number; readonly mb: number }[]): number => {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(({ jobs }) => jobs)), mean(points.map(({ mb }) => mb))];
  const above = points.reduce((sum, { jobs, mb }) => sum + (jobs - x) * (mb - y), 0);
  return (above / points.reduce((sum, { jobs }) => sum + (jobs - x) ** 2, 0)) * 100_000;
};

class BacklogBench {
  readonly rows: Row[] = [];
  readonly #sizes: Sizes;

  constructor(used: Sizes) {
    this.#sizes = used;
  }

  /** Worker in a process of its own; the relay in this one, beside the producer. */
  async measureTreadle({ backend, postgresUrl, redisUrl }: BackendServers): Promise<void> {
    const treadle = await openTreadle(postgresUrl, redisUrl);
    const line = new Line(treadle.accepted);
    const start = (): Promise<WorkerProcess> =>
      startWorkerProcess(postgresUrl, redisUrl, (message) => {
        if (message.kind === 'handled') line.note(message.count);
      });
    const { few, many } = this.#sizes;
    const scheduler = await treadle.startScheduler();
    const first = await start();
    const atFew = await costsAt(line, few, this.#sizes);
    await line.until(line.handled + line.waiting);
    await first.close();
    await scheduler.close();
    const emptyInserts = await insertsOf(line, this.#sizes, this.#sizes.jobs * this.#sizes.rounds);
    const fullInserts = await insertsOf(line, this.#sizes, many - line.waiting);
    const again = await treadle.startScheduler();
    const second = await start();
    const atMany = await costsAt(line, many, this.#sizes);
    this.#add(backend, 'Treadle', { inserts: emptyInserts, ends: atFew }, { inserts: fullInserts, ends: atMany });
    await this.#drain(backend, line, second);
    await again.close();
    await second.close();
    await treadle.close();
  }

  /** Works everything off, and looks how much memory the worker uses meanwhile. */
  async #drain(backend: string, line: Line, worker: WorkerProcess): Promise<void> {
    const total = line.waiting;
    const from = line.handled;
    const seen: (Memory & { readonly jobs: number })[] = [];
    const startedAt = performance.now();
    for (let sample = 0; sample <= samples; sample += 1) {
      await line.until(from + Math.floor((total * sample) / samples));
      seen.push({ jobs: line.handled - from, ...(await worker.memory()) });
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    console.log(JSON.stringify({ bench: 'backlog', backend, memory: seen }));
    const lastHalf = seen.slice(samples / 2);
    const row = (measure: string, unit: string, value: number): Row => ({
      measure: `${backend} ${measure}`,
      unit,
      standings: [{ name: 'Treadle', value }],
    });
    this.rows.push(row('working off all that waits', 'jobs/s', total / seconds));
    for (const [measure, mb] of [
      ['RSS', (memory: Memory) => memory.rssMb],
      ['heap', (memory: Memory) => memory.heapMb],
    ] as const) {
      const slope = slopeOf(lastHalf.map((memory) => ({ jobs: memory.jobs, mb: mb(memory) })));
      this.rows.push({
        ...row(`worker ${measure} in the end`, 'MB', mb(seen.at(-1) ?? { rssMb: 0, heapMb: 0 })),
        detail: true,
      });
      this.rows.push({
        ...row(`worker ${measure}, growth in the last half`, 'MB', (slope * total) / 2 / 100_000),
        promised: { of: 'value', atMost: flatMb },
      });
    }
  }

  /** Another queue, producer and worker in this process. */
  async measureOther(backend: string, side: Contestant): Promise<void> {
    const line = new Line(side);
    const start = () => side.startWorker(() => line.note(1));
    const { many, few, jobs, rounds } = this.#sizes;
    const first = await start();
    const atFew = await costsAt(line, few, this.#sizes);
    await line.until(line.handled + line.waiting);
    await side.settled();
    await first.close();
    const emptyInserts = await insertsOf(line, this.#sizes, jobs * rounds);
    const fullInserts = await insertsOf(line, this.#sizes, many - line.waiting);
    const second = await start();
    const atMany = await costsAt(line, many, this.#sizes);
    this.#add(backend, side.name, { inserts: emptyInserts, ends: atFew }, { inserts: fullInserts, ends: atMany });
    await second.close();
  }

  #add(backend: string, name: string, atFew: Costs, atMany: Costs): void {
    const { few, many } = this.#sizes;
    const growth = median(atMany.ends) / median(atFew.ends);
    const costs: readonly (readonly [string, readonly number[], boolean])[] = [
      [`end to end, ${few.toLocaleString('en')} waiting`, atFew.ends, true],
      [`end to end, ${many.toLocaleString('en')} waiting`, atMany.ends, true],
      ['insert, few waiting', atFew.inserts, true],
      [`insert, ${many.toLocaleString('en')} waiting`, atMany.inserts, true],
    ];
    for (const [measure, values] of costs)
      this.#stand(
        { measure: `${backend} ${measure}`, unit: 'µs/job', detail: true },
        { name, value: median(values) * 1_000, best: Math.min(...values) * 1_000 },
      );
    this.#stand(
      {
        measure: `${backend} end to end, many by few`,
        unit: 'times',
        ...(name === 'Treadle' ? { promised: { of: 'value', atMost: largestGrowth } } : {}),
      },
      { name, value: growth },
    );
    console.error(`${backend} ${name}: ${growth.toFixed(2)} times the cost with many waiting`);
  }

  /** Into the row of that measure, if there is one. */
  #stand(row: Omit<Row, 'standings'>, standing: Row['standings'][number]): void {
    const known = this.rows.findIndex(({ measure }) => measure === row.measure);
    const before = this.rows[known];
    if (before) this.rows[known] = { ...before, standings: [...before.standings, standing] };
    else this.rows.push({ ...row, standings: [standing] });
  }
}

/** What a job costs when few wait and when a million do, and whether a worker's memory grows over a million jobs. */
export const benchBacklog = async (options: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const bench = new BacklogBench(sizesOf(options));
  const servers = await startServers();
  const machine = await describeMachine(servers);
  for (const one of backendsOf(servers, options.backend)) {
    const { backend, postgresUrl, redisUrl } = one;
    await bench.measureTreadle(one);
    const others = [openRawBullmq(postgresUrl, redisUrl)];
    if (backend === 'postgres') others.push(await openPgBoss(postgresUrl), await openGraphileWorker(postgresUrl));
    for (const side of others) {
      await bench.measureOther(backend, side);
      await side.close();
    }
  }
  await servers.close();
  report({ name: 'backlog', short: options.short, machine, loadBefore, rows: bench.rows });
};
