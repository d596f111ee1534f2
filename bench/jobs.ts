import { payload, type Contestant, type Data, type OnJob } from './contestants/contestant.ts';
import { perSecond } from './measure.ts';

const inFlight = 50;
const batchSize = 1_000;

export const payloads = (count: number, firstId = 0): Data[] =>
  Array.from({ length: count }, (_, index) => ({ ...payload, id: firstId + index }));

/** Sends items with at most `atOnce` under way. */
export const sendEach = async <T>(
  items: readonly T[],
  atOnce: number,
  send: (item: T) => Promise<unknown>,
): Promise<void> => {
  const left = items.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of left) await send(item);
    }),
  );
};

/** Sends `count` items with at most 50 under way. */
export const sendAll = (count: number, send: (item: Data) => Promise<unknown>): Promise<void> =>
  sendEach(payloads(count), inFlight, send);

/** Sends `count` items, a thousand at a time. */
export const inBatches = async (
  count: number,
  send: (items: Data[]) => Promise<unknown>,
  firstId = 0,
): Promise<void> => {
  for (let start = 0; start < count; start += batchSize)
    await send(payloads(Math.min(batchSize, count - start), firstId + start));
};

/** Runs until `count` jobs were handled. */
export const countDown = (count: number): { readonly onJob: OnJob; readonly done: Promise<void> } => {
  let left = count;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onJob = (): void => {
    left -= 1;
    if (left === 0) resolve();
  };
  return { onJob, done: promise };
};

/** Enqueues the jobs unmeasured, then measures a worker that works them off. */
export const processing = async (side: Contestant, count: number, fill: () => Promise<unknown>): Promise<number> => {
  await fill();
  const { onJob, done } = countDown(count);
  const startedAt = performance.now();
  const worker = await side.startWorker(onJob);
  await done;
  const rate = (count * 1_000) / (performance.now() - startedAt);
  await worker.close();
  return rate;
};

/** Measures how fast `fill` enqueues `count` jobs, and works them off afterwards. */
export const enqueueing = async (side: Contestant, count: number, fill: () => Promise<unknown>): Promise<number> => {
  const rate = await perSecond(count, fill);
  await processing(side, count, () => Promise.resolve());
  return rate;
};

/** From the enqueue of the first job to the end of the last: with a ledger, until its row is written. */
export const endToEnd = async (side: Contestant, count: number): Promise<number> => {
  const { onJob, done } = countDown(count);
  const worker = await side.startWorker(onJob);
  const rate = await perSecond(count, async () => {
    await inBatches(count, (items) => side.addBulk(items));
    await done;
    await side.settled();
  });
  await worker.close();
  return rate;
};
