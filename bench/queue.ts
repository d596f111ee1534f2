import { accepted, direct, openTreadle, payload, type BenchTreadle, type OnJob } from './bench-platform.ts';
import { compare as compareInTurns, percentile, perSecond } from './measure.ts';
import { openRawBullmq, type RawBullmq } from './raw-bullmq.ts';
import { report, type Row } from './report.ts';
import { startServers } from './servers.ts';

const rounds = 7;
const sizes = {
  redis: { single: 20_000, bulk: 20_000, latency: 400 },
  postgres: { single: 3_000, bulk: 4_000, latency: 300 },
} as const;
const inFlight = 50;

const payloads = (count: number): (typeof payload)[] => Array.from({ length: count }, (_, id) => ({ ...payload, id }));

/** Sends `count` items with at most 50 under way. */
const sendAll = async (count: number, send: (item: typeof payload) => Promise<unknown>): Promise<void> => {
  const items = payloads(count).values();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (const item of items) await send(item);
    }),
  );
};

const inBatches = async (count: number, send: (items: (typeof payload)[]) => Promise<unknown>): Promise<void> => {
  const items = payloads(count);
  for (let start = 0; start < count; start += 1_000) await send(items.slice(start, start + 1_000));
};

interface Side {
  startWorker(onJob: OnJob): Promise<{ close(): Promise<void> }>;
}

/** Runs until `count` jobs were handled. */
const countDown = (count: number): { readonly onJob: OnJob; readonly done: Promise<void> } => {
  let left = count;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onJob = (): void => {
    left -= 1;
    if (left === 0) resolve();
  };
  return { onJob, done: promise };
};

/** Enqueues the jobs unmeasured, then measures a worker that works them off. */
const processing = async (side: Side, count: number, fill: () => Promise<unknown>): Promise<number> => {
  await fill();
  const { onJob, done } = countDown(count);
  let worker: { close(): Promise<void> } | undefined;
  const rate = await perSecond(count, async () => {
    worker = await side.startWorker(onJob);
    await done;
  });
  await worker?.close();
  return rate;
};

const drain = async (side: Side, count: number): Promise<void> => {
  await processing(side, count, () => Promise.resolve());
};

/** From the enqueue of the first job to the end of the last: with a ledger, until its row is written. */
const endToEnd = async (
  side: Side,
  count: number,
  fill: () => Promise<unknown>,
  settled: () => Promise<unknown>,
): Promise<number> => {
  const { onJob, done } = countDown(count);
  const worker = await side.startWorker(onJob);
  const rate = await perSecond(count, async () => {
    await fill();
    await done;
    await settled();
  });
  await worker.close();
  return rate;
};

const untilLedgerIsEmpty = async ({ platform }: BenchTreadle): Promise<void> => {
  for (;;) {
    const { rows } = await platform.postgres.query<{ open: boolean }>(
      'SELECT EXISTS (SELECT 1 FROM treadle.jobs) AS open',
    );
    if (!rows[0]?.open) return;
  }
};

const latencies = async (
  side: Side,
  count: number,
  send: (item: typeof payload) => Promise<unknown>,
): Promise<number[]> => {
  const sentAt = new Map<number, number>();
  const waited: number[] = [];
  let next = (): void => undefined;
  const worker = await side.startWorker((id) => {
    waited.push(performance.now() - (sentAt.get(id) ?? 0));
    next();
  });
  for (const item of payloads(count)) {
    const started = new Promise<void>((resolve) => {
      next = resolve;
    });
    await send(item);
    sentAt.set(item.id, performance.now());
    await started;
  }
  await worker.close();
  return waited.slice(Math.floor(count / 10));
};

const measureBackend = async (backend: 'redis' | 'postgres', treadle: BenchTreadle, raw: RawBullmq): Promise<Row[]> => {
  const { enqueuer } = treadle.platform;
  const size = sizes[backend];
  const addOne = (item: typeof payload) => enqueuer.enqueue(direct, item);
  const addMany = (items: (typeof payload)[]) => enqueuer.enqueueMany(direct, items);
  const rows: Row[] = [];
  const compare = async (
    measure: string,
    ours: () => Promise<number>,
    theirs: () => Promise<number>,
  ): Promise<void> => {
    const seen = await compareInTurns(rounds, { treadle: ours, raw: theirs });
    rows.push({ measure: `${backend} ${measure}`, ...seen, unit: 'jobs/s' });
    console.error(
      `${backend} ${measure}: ${Math.round(seen.treadle)} of ${Math.round(seen.raw)}, ${seen.ratio.toFixed(2)}`,
    );
  };
  const then = async (rate: number, side: Side, count: number): Promise<number> => {
    await drain(side, count);
    return rate;
  };
  await compare(
    'direct enqueue',
    async () => then(await perSecond(size.single, () => sendAll(size.single, addOne)), treadle, size.single),
    async () =>
      then(await perSecond(size.single, () => sendAll(size.single, (item) => raw.add(item))), raw, size.single),
  );
  await compare(
    'bulk enqueue',
    async () => then(await perSecond(size.bulk, () => inBatches(size.bulk, addMany)), treadle, size.bulk),
    async () =>
      then(await perSecond(size.bulk, () => inBatches(size.bulk, (items) => raw.addBulk(items))), raw, size.bulk),
  );
  await compare(
    'processing',
    () => processing(treadle, size.bulk, () => inBatches(size.bulk, addMany)),
    () => processing(raw, size.bulk, () => inBatches(size.bulk, (items) => raw.addBulk(items))),
  );
  const scheduler = await treadle.startScheduler();
  await compare(
    'accepted end to end',
    () =>
      endToEnd(
        treadle,
        size.bulk,
        () => inBatches(size.bulk, (items) => enqueuer.enqueueMany(accepted, items)),
        () => untilLedgerIsEmpty(treadle),
      ),
    () =>
      endToEnd(
        raw,
        size.bulk,
        () => inBatches(size.bulk, (items) => raw.addBulk(items)),
        () => Promise.resolve(),
      ),
  );
  const ours = await latencies(treadle, size.latency, (item) => enqueuer.enqueue(accepted, item));
  const theirs = await latencies(raw, size.latency, (item) => raw.add(item));
  for (const [name, share] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    rows.push({
      measure: `${backend} commit to start ${name}`,
      treadle: percentile(ours, share),
      raw: percentile(theirs, share),
      unit: 'ms',
    });
  }
  await scheduler.close();
  return rows;
};

/** Enqueueing and processing beside raw BullMQ in one run: the same handler, payloads of 1 kB, 50 jobs at once. */
export const benchQueue = async (): Promise<void> => {
  const servers = await startServers();
  const rows: Row[] = [];
  for (const backend of ['redis', 'postgres'] as const) {
    const redisUrl = backend === 'redis' ? servers.redisUrl : undefined;
    if (backend === 'redis' && redisUrl === undefined) continue;
    const treadle = await openTreadle(servers.postgresUrl, redisUrl);
    const raw = openRawBullmq(servers.postgresUrl, redisUrl);
    rows.push(...(await measureBackend(backend, treadle, raw)));
    await raw.close();
    await treadle.platform.close();
  }
  await servers.close();
  report('queue', rows);
};
