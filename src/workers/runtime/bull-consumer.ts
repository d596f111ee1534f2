import { WaitingError } from 'bullmq';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { LoopWatch, WatchedLoop } from '../../lib/health/loop-watch.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { BullConnection, BullJob, BullWorker } from '../../queues/bullmq/bull-connection.ts';
import { onFetch } from '../../queues/bullmq/on-fetch.ts';
import {
  ledgerIdOf,
  type Attempt,
  type BundleLedger,
  type Consumer,
  type ConsumerOptions,
  type Delivery,
  type Disposition,
  type QueueItem,
} from '../../queues/transport.ts';
import { EntryLocks, type EntryLock } from './entry-locks.ts';
import { HandlerSlots, type SlotAnswer } from './handler-slots.ts';

/** Of a handler that runs longer, jobs taken beyond the concurrency would wait noticeably. */
const longHandlerMs = 50;
const shortHandlerFactor = 4;
/** A job taken ahead should have its turn within this, with time to spare before `longHandlerMs`, when it is given away. */
const aheadMs = 12;
/** Of a moving average over about twenty values. */
const weight = 0.05;
const closeWithinMs = 3_000;
/** Who runs few jobs at once may care about their order, which jobs taken beyond them would blur. */
const leastConcurrency = 8;

const silentMs = 60_000;

export interface BullConsumerParts {
  readonly connection: BullConnection;
  readonly bundles: BundleLedger;
  readonly loops: LoopWatch;
  readonly log: Log;
}

const worstOf = (dispositions: readonly Disposition[]): Disposition =>
  (['abandon', 'hand-back'] as const).find((worst) => dispositions.includes(worst)) ?? 'remove';

const deliveryOf = (job: BullJob, item: QueueItem, queue: string): Delivery => ({
  ...item,
  jobId: ledgerIdOf(item.id),
  queue,
  stalls: job.stalledCounter,
  startedBefore: job.attemptsStarted > 1 || job.stalledCounter > 0 || item.envelope.unsure === true,
});

/** Takes jobs of one BullMQ queue and runs them, several entries at once; an entry is one job or a bundle. */
export class BullConsumer implements Consumer {
  readonly #options: ConsumerOptions;
  readonly #bundles: BundleLedger;
  readonly #log: Log;
  readonly #worker: BullWorker;
  readonly #locks: EntryLocks;
  readonly #fetching: WatchedLoop;
  readonly #slots: HandlerSlots;
  /** Moving averages: how long handlers run, and how many jobs an entry holds. */
  #handlerMs = longHandlerMs;
  #entrySize = 1;
  #paused = false;

  constructor({ connection, bundles, loops, log }: BullConsumerParts, options: ConsumerOptions) {
    this.#options = options;
    this.#bundles = bundles;
    this.#slots = new HandlerSlots(options.concurrency, longHandlerMs);
    this.#log = log;
    this.#worker = connection.openWorker(options.queue, (job, token) => this.#process(job, token), options);
    this.#fetching = loops.watch(`fetch ${options.queue}`, silentMs);
    const loop = loops.watch(`locks ${options.queue}`, silentMs);
    this.#locks = new EntryLocks({ worker: this.#worker, queue: options.queue, lockMs: options.lockMs, loop, log });
    const turned = (): void => this.#fetchTurned();
    onFetch(this.#worker, turned);
    // While its server is away the loop tries again and again, and says so each time.
    this.#worker.on('error', turned);
  }

  async pause(): Promise<void> {
    this.#paused = true;
    this.#fetching.end();
    await this.#worker.pause(true);
  }

  async close(): Promise<void> {
    await Promise.all([
      this.#bundles.close(),
      // BullMQ waits for its server as long as it takes. What it was to be told is in the ledger already.
      withTimeout(this.#worker.close(), closeWithinMs, this.#options.queue).catch((error: unknown) =>
        this.#log.warn({ event: 'consumer.left-unclosed', queue: this.#options.queue, err: error }),
      ),
    ]);
    this.#locks.close();
    this.#fetching.end();
  }

  async #process(job: BullJob, token = ''): Promise<null> {
    const id = job.id ?? '';
    const held = this.#locks.hold(id, token);
    this.#fetchTurned();
    try {
      const disposition =
        'items' in job.data
          ? await this.#runBundle(job, id, job.data.items, held).catch((error: unknown) => this.#leave(id, error))
          : await this.#runSingle(job, { id, name: job.name, envelope: job.data }, held);
      if (disposition === 'remove') return null;
      if (disposition !== 'abandon') await this.#handBack(job, token);
      // Tells BullMQ that the job is no longer this attempt's, so that it moves nothing.
      throw new WaitingError();
    } finally {
      this.#locks.release(held);
      this.#fetchTurned();
    }
  }

  /**
   * What is open of a bundle whose jobs could not all be asked about or given away: at a shutdown another worker takes it at
   * once, else when its lock has run out.
   */
  #leave(id: string, error: unknown): Disposition {
    this.#log.warn({ event: 'consumer.bundle-left', bundle: id, err: error });
    return this.#paused ? 'hand-back' : 'abandon';
  }

  #runSingle(job: BullJob, item: QueueItem, held: EntryLock): Promise<Disposition | undefined> {
    this.#entrySize += (1 - this.#entrySize) * weight;
    return this.#runOne(deliveryOf(job, item, this.#options.queue), held);
  }

  async #runBundle(job: BullJob, id: string, items: readonly QueueItem[], held: EntryLock): Promise<Disposition> {
    const deliveries = items.map((item) => deliveryOf(job, item, this.#options.queue));
    // A worker died with it or fell silent: whichever of its jobs did that must not take the others with it again.
    if (job.stalledCounter > 0) {
      await this.#bundles.split(id, deliveries);
      return 'remove';
    }
    this.#entrySize += (items.length - this.#entrySize) * weight;
    const open = await this.#bundles.admit(id, deliveries);
    const [first] = open;
    if (first && this.#options.runsTogether(first.name)) return this.#runTogether(id, open, held);
    const all = await Promise.all(
      open.map(async (delivery) => {
        const stillStands = async (): Promise<boolean> => (await this.#bundles.admit(id, [delivery])).length > 0;
        try {
          const disposition = await this.#runOne(delivery, held, stillStands);
          if (disposition) return disposition;
          await this.#bundles.split(id, [delivery]);
          return 'remove';
        } catch (error) {
          return this.#leave(id, error);
        }
      }),
    );
    return worstOf(all);
  }

  /** The jobs of a bundle that one call of their handler runs. */
  async #runTogether(id: string, deliveries: readonly Delivery[], held: EntryLock): Promise<Disposition> {
    let open = deliveries;
    if (!this.#slots.tryTake()) {
      const slot = await this.#waitForSlot(async () => {
        open = await this.#bundles.admit(id, open);
        return open.length > 0;
      });
      // The whole bundle goes to the next worker, who may have a slot.
      if (slot !== 'taken') return slot === 'gone' ? 'remove' : 'hand-back';
    }
    const handlerEnded = this.#begin();
    const together = { count: open.length };
    try {
      return worstOf(await Promise.all(open.map((delivery) => this.#attempt(delivery, held, handlerEnded, together))));
    } finally {
      handlerEnded();
    }
  }

  /** With as many jobs as may be under way the loop fetches none, however long they run. */
  #fetchTurned(): void {
    if (this.#locks.size >= this.#worker.concurrency) this.#fetching.rest();
    else this.#fetching.beat();
  }

  /** Undefined when the job got no slot in time: another worker may have one. */
  async #runOne(
    delivery: Delivery,
    held: EntryLock,
    stillStands?: () => Promise<boolean>,
  ): Promise<Disposition | undefined> {
    if (!this.#slots.tryTake()) {
      const slot = await this.#waitForSlot(stillStands);
      if (slot !== 'taken') return slot === 'gone' ? 'remove' : undefined;
    }
    const handlerEnded = this.#begin();
    try {
      return await this.#attempt(delivery, held, handlerEnded);
    } finally {
      handlerEnded();
    }
  }

  /** `gone`: what waited for the slot was cancelled meanwhile. */
  async #waitForSlot(stillStands?: () => Promise<boolean>): Promise<SlotAnswer | 'gone'> {
    const answer = await this.#slots.take();
    if (answer !== 'taken') return answer;
    let stands = false;
    try {
      stands = (await stillStands?.()) ?? true;
    } finally {
      if (!stands) this.#slots.free();
    }
    return stands ? 'taken' : 'gone';
  }

  /** With a slot taken; answers what gives it back, once. */
  #begin(): () => void {
    let startedAt: number | undefined = performance.now();
    return () => {
      if (startedAt === undefined) return;
      this.#slots.free();
      this.#adapt(performance.now() - startedAt);
      startedAt = undefined;
    };
  }

  #attempt(
    delivery: Delivery,
    held: EntryLock,
    handlerEnded: () => void,
    together?: Attempt['together'],
  ): Promise<Disposition> {
    const lock = this.#locks.attempt(held);
    const attempt = { delivery, lock, handlerEnded, holdsLock: () => this.#locks.holds(held) };
    return this.#options.run(together ? { ...attempt, together } : attempt);
  }

  /**
   * While handlers are short, more jobs are under way than handlers run, so that writing the ends of some goes on beside
   * running others. While they are long no job is taken that would have to wait: another worker may be free for it.
   */
  #adapt(handlerMs: number): void {
    this.#handlerMs += (handlerMs - this.#handlerMs) * weight;
    const { concurrency } = this.#options;
    const several = concurrency >= leastConcurrency && this.#handlerMs < longHandlerMs / 2;
    // So many jobs for each that runs, yet none that would wait for its turn for long.
    const most = Math.max(1, aheadMs / this.#handlerMs);
    const jobs = Math.min(Math.max(shortHandlerFactor, this.#entrySize), most);
    const wanted = Math.ceil(several ? (concurrency * jobs) / this.#entrySize : concurrency);
    if (this.#worker.concurrency !== wanted) this.#worker.concurrency = wanted;
  }

  async #handBack(job: BullJob, token: string): Promise<void> {
    try {
      await job.moveToWait(token);
    } catch (error) {
      // The lock runs out and the job is taken by somebody else then.
      this.#log.warn({ event: 'consumer.hand-back-failed', jobId: job.id, err: error });
    }
  }
}
