import { finishJobs, LedgerWriter } from '../src/queues/ledger/ledger-writer.ts';
import { Relay } from '../src/queues/relay/relay.ts';
import { isBundle, type QueueTransport } from '../src/queues/transport.ts';
import type { Platform } from '../src/platform.ts';
import type { BenchOptions } from './benchmarks.ts';
import type { Contestant, Data } from './contestants/contestant.ts';
import { openGraphileWorker } from './contestants/graphile-worker.ts';
import { openPgBoss } from './contestants/pg-boss.ts';
import { openRawBullmq } from './contestants/raw-bullmq.ts';
import { accepted, openTreadle } from './contestants/treadle.ts';
import { emptyQueue } from './empty-queue.ts';
import { enqueueing, inBatches, payloads, sendAll, sendEach } from './jobs.ts';
import { describeMachine, load } from './machine.ts';
import { compare, perSecond, type Turn } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { backendsOf, startServers, type BackendServers } from './servers.ts';

interface Sizes {
  readonly rounds: number;
  readonly single: number;
  readonly bulk: number;
  readonly relayed: number;
}

const fullSizes: Sizes = { rounds: 5, single: 5_000, bulk: 20_000, relayed: 40_000 };
const shortSizes: Sizes = { rounds: 1, single: 500, bulk: 2_000, relayed: 4_000 };
/** As many ends as a worker of 50 short jobs writes at once. */
const endsAtOnce = 200;
const transactionsAtOnce = 50;

/** A queue that takes all it is given at once, whose jobs nobody works on. */
class EndlessQueue implements QueueTransport {
  readonly queue: string;
  readonly kind: QueueTransport['kind'];
  readonly bundles: boolean;
  readonly done: Promise<void>;
  readonly #transport: QueueTransport;
  readonly #resolve: () => void;
  #left: number;

  constructor(transport: QueueTransport, bundles: boolean, count: number) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.queue = transport.queue;
    this.kind = transport.kind;
    this.bundles = bundles;
    this.done = promise;
    this.#transport = transport;
    this.#resolve = resolve;
    this.#left = count;
  }

  async add(...args: Parameters<QueueTransport['add']>): Promise<void> {
    await this.#transport.add(...args);
    for (const entry of args[0]) this.#left -= isBundle(entry) ? entry.items.length : 1;
    if (this.#left <= 0) this.#resolve();
  }

  // The relay does more for a queue that has a backlog.
  backlog = (): Promise<number> => Promise.resolve(1);
  epoch = (): Promise<string> => this.#transport.epoch();
  outages = (): number => this.#transport.outages();
  known = (ids: readonly string[]): Promise<ReadonlySet<string>> => this.#transport.known(ids);
  remove = (ids: readonly string[]): Promise<ReadonlySet<string>> => this.#transport.remove(ids);
  setPaused = (paused: boolean): Promise<void> => this.#transport.setPaused(paused);
  close = (): Promise<void> => Promise.resolve();
}

const emptyLedger = async ({ postgres }: Platform): Promise<void> => {
  await postgres.query('TRUNCATE treadle.jobs, treadle.finished_jobs');
};

/** The rate at which the relay moves jobs from the ledger to their queue. */
const relaying = async (platform: Platform, count: number, bundles: boolean): Promise<number> => {
  const { postgres, subscription, transports, enqueuer, registry, log } = platform;
  await inBatches(count, (items) => enqueuer.enqueueMany(accepted, items));
  const transport = await transports.of('bench');
  const queue = new EndlessQueue(transport, bundles, count);
  const relay = new Relay({
    postgres,
    subscription,
    transports: [queue],
    queues: registry.queues,
    reconciler: await platform.reconciler(),
    log,
  });
  const rate = await perSecond(count, async () => {
    await relay.start();
    await queue.done;
  });
  await relay.close();
  await emptyLedger(platform);
  await emptyQueue(transport);
  return rate;
};

/** As the relay leaves them: waiting in their queue. */
const relayedIds = async ({ enqueuer, postgres }: Platform, count: number): Promise<readonly string[]> => {
  const ids: string[] = [];
  await inBatches(count, async (items) => {
    ids.push(...(await enqueuer.enqueueMany(accepted, items)).map(({ id }) => id));
  });
  await postgres.query(`UPDATE treadle.jobs SET state = 'waiting', relayed_at = now(), relay_epoch = 'bench'`);
  await postgres.query('VACUUM ANALYZE treadle.jobs');
  return ids;
};

const finishing = async (platform: Platform, count: number): Promise<number> => {
  const ids = await relayedIds(platform, count);
  const ledger = new LedgerWriter(platform.postgres, platform.log, platform.jobMetrics);
  const finish = (id: string): Promise<unknown> =>
    ledger.finish({
      id,
      state: 'completed',
      returns: 0,
      attemptsMade: 1,
      startedAt: new Date(),
      worker: 'bench',
      resultJson: 'null',
    });
  const rate = await perSecond(count, () => sendEach(ids, endsAtOnce, finish));
  await ledger.close();
  await emptyLedger(platform);
  return rate;
};

const finishingInTransactions = async (platform: Platform, count: number): Promise<number> => {
  const ids = await relayedIds(platform, count);
  const finish = (id: string): Promise<unknown> =>
    platform.postgres.transaction(async (tx) => {
      await tx.query('INSERT INTO bench_effects (id) VALUES ($1)', [id]);
      await finishJobs(tx, [
        {
          id,
          state: 'completed',
          returns: 0,
          attemptsMade: 1,
          startedAt: new Date(),
          worker: 'bench',
          resultJson: 'null',
        },
      ]);
    });
  const rate = await perSecond(count, () => sendEach(ids, transactionsAtOnce, finish));
  await emptyLedger(platform);
  return rate;
};

const retrying = async (platform: Platform, count: number): Promise<number> => {
  const ids = await relayedIds(platform, count);
  const ledger = new LedgerWriter(platform.postgres, platform.log, platform.jobMetrics);
  const failure = {
    attempt: 1,
    startedAt: new Date().toISOString(),
    durationMs: 1,
    error: { code: 'INTERNAL_ERROR', message: 'no' },
  };
  const takeBack = (id: string): Promise<unknown> =>
    ledger.takeBack({ id, returns: 0, attemptsMade: 1, dueAt: new Date(Date.now() + 1_000), worker: 'bench', failure });
  const rate = await perSecond(count, () => sendEach(ids, endsAtOnce, takeBack));
  await ledger.close();
  await emptyLedger(platform);
  return rate;
};

class LedgerBench {
  readonly rows: Row[] = [];
  readonly #rounds: number;

  constructor(rounds: number) {
    this.#rounds = rounds;
  }

  async compare(measure: string, turns: readonly Turn[], promised?: Promised): Promise<void> {
    const standings = await compare(this.#rounds, turns);
    this.rows.push({ measure, unit: 'jobs/s', standings, ...(promised ? { promised } : {}) });
    console.error(`${measure}: ${standings.map(({ name, value }) => `${name} ${Math.round(value)}`).join(', ')}`);
  }

  async measureInserts(platform: Platform, others: readonly Contestant[], { single, bulk }: Sizes): Promise<void> {
    const { enqueuer, postgres } = platform;
    const treadle = (count: number, fill: () => Promise<unknown>): Turn => ({
      name: 'Treadle',
      run: async () => {
        const rate = await perSecond(count, fill);
        await emptyLedger(platform);
        return rate;
      },
    });
    const beside = (count: number, fill: (side: Contestant) => Promise<unknown>): readonly Turn[] =>
      others.map((side) => ({ name: side.name, run: () => enqueueing(side, count, () => fill(side)) }));
    await this.compare('insert, one at a time', [
      treadle(single, () => sendAll(single, (item) => enqueuer.enqueue(accepted, item))),
      ...beside(single, (side) => sendAll(single, (item) => side.add(item))),
    ]);
    await this.compare('insert, a thousand at a time', [
      treadle(bulk, () => inBatches(bulk, (items) => enqueuer.enqueueMany(accepted, items))),
      ...beside(bulk, (side) => inBatches(bulk, (items) => side.addBulk(items))),
    ]);
    const inTransaction = (item: Data): Promise<unknown> =>
      postgres.transaction(async (tx) => {
        await tx.query('INSERT INTO bench_effects (id) VALUES (gen_random_uuid())');
        await enqueuer.enqueue(accepted, item, { tx });
      });
    await this.compare('insert in a transaction with another row', [
      treadle(single, () => sendEach(payloads(single), transactionsAtOnce, inTransaction)),
    ]);
  }

  async measureRelay(platform: Platform, raw: Contestant, backend: string, { relayed }: Sizes): Promise<void> {
    const promised: Promised | undefined = backend === 'redis' ? { of: 'value', atLeast: 8_000 } : undefined;
    const fill = (): Promise<void> => inBatches(relayed, (items) => raw.addBulk(items));
    await this.compare(
      `relay to ${backend}, beside bulk enqueue`,
      [
        { name: 'Treadle', run: () => relaying(platform, relayed, true) },
        { name: raw.name, run: () => enqueueing(raw, relayed, fill) },
      ],
      promised,
    );
    await this.compare(
      `relay to ${backend}, no bundles`,
      [{ name: 'Treadle', run: () => relaying(platform, relayed, false) }],
      promised,
    );
  }

  async measureEnds(platform: Platform, { single, bulk }: Sizes): Promise<void> {
    const alone = (run: () => Promise<number>): readonly Turn[] => [{ name: 'Treadle', run }];
    await this.compare(
      'finish, in batches',
      alone(() => finishing(platform, bulk)),
    );
    await this.compare(
      'finish in the handler’s transaction',
      alone(() => finishingInTransactions(platform, single)),
    );
    await this.compare(
      'take back for a retry',
      alone(() => retrying(platform, bulk)),
    );
  }
}

const measureBackend = async (bench: LedgerBench, servers: BackendServers, used: Sizes): Promise<void> => {
  const { backend, postgresUrl, redisUrl } = servers;
  const { platform } = await openTreadle(postgresUrl, redisUrl);
  await platform.postgres.query('CREATE TABLE IF NOT EXISTS bench_effects (id uuid PRIMARY KEY)');
  const raw = openRawBullmq(postgresUrl, redisUrl);
  const relayed = backend === 'redis' ? used.relayed : used.relayed / 4;
  await bench.measureRelay(platform, raw, backend, { ...used, relayed });
  if (backend === 'postgres') {
    const others = [await openPgBoss(postgresUrl), await openGraphileWorker(postgresUrl)];
    await bench.measureInserts(platform, others, used);
    await bench.measureEnds(platform, used);
    for (const other of others) await other.close();
  }
  await raw.close();
  await platform.close();
};

/** The pieces of an accepted job's way, each alone. */
export const benchLedger = async ({ short, backend }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const used = short ? shortSizes : fullSizes;
  const bench = new LedgerBench(used.rounds);
  for (const one of backendsOf(servers, backend)) await measureBackend(bench, one, used);
  await servers.close();
  report({ name: 'ledger', short, machine, loadBefore, rows: bench.rows });
};
