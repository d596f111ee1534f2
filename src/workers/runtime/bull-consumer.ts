import { WaitingError } from 'bullmq';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { BullConnection, BullJob, BullWorker } from '../../queues/bullmq/bull-connection.ts';
import {
  ledgerIdOf,
  LockLoss,
  type BundleLedger,
  type Consumer,
  type ConsumerOptions,
  type Delivery,
  type Disposition,
  type QueueItem,
} from '../../queues/transport.ts';
import { HandlerSlots } from './handler-slots.ts';

/** Of a handler that runs longer, jobs taken beyond the concurrency would wait noticeably. */
const longHandlerMs = 50;
const shortHandlerFactor = 4;
/** Of a moving average over about twenty values. */
const weight = 0.05;
const closeWithinMs = 3_000;
/** Who runs few jobs at once may care about their order, which jobs taken beyond them would blur. */
const leastConcurrency = 8;

export interface BullConsumerParts {
  readonly connection: BullConnection;
  readonly bundles: BundleLedger;
  readonly log: Log;
}

/** A lock on an entry of the queue, and with it on the attempts at the jobs in it. */
interface LiveLock {
  readonly id: string;
  readonly token: string;
  readonly attempts: LockLoss[];
  lost: boolean;
  renewedAt: number;
}

const deliveryOf = (job: BullJob, item: QueueItem, queue: string): Delivery => ({
  ...item,
  jobId: ledgerIdOf(item.id),
  queue,
  stalls: job.stalledCounter,
  startedBefore: job.attemptsStarted > 1 || job.stalledCounter > 0 || item.envelope.unsure === true,
});

/**
 * Takes jobs of one BullMQ queue. Renews their locks itself, because BullMQ's own renewal can keep a lock of an attempt
 * that has ended and lose that of a new one; a lock found lost aborts its attempt.
 */
export class BullConsumer implements Consumer {
  readonly #options: ConsumerOptions;
  readonly #bundles: BundleLedger;
  readonly #log: Log;
  readonly #worker: BullWorker;
  readonly #locks = new Map<string, LiveLock>();
  readonly #renewing: NodeJS.Timeout;
  readonly #slots: HandlerSlots;
  /** Moving averages: how long handlers run, and how many jobs an entry holds. */
  #handlerMs = longHandlerMs;
  #entrySize = 1;
  #paused = false;

  constructor({ connection, bundles, log }: BullConsumerParts, options: ConsumerOptions) {
    this.#options = options;
    this.#bundles = bundles;
    this.#slots = new HandlerSlots(options.concurrency, longHandlerMs);
    this.#log = log;
    this.#worker = connection.openWorker(options.queue, (job, token) => this.#process(job, token), options);
    this.#renewing = setInterval(() => void this.#renew(), options.lockMs / 4);
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#worker.pause(true);
  }

  async close(): Promise<void> {
    const closing = this.#worker.close();
    await Promise.all([
      this.#bundles.close(),
      // BullMQ waits for its server as long as it takes. What it was to be told is in the ledger already.
      withTimeout(closing, closeWithinMs, this.#options.queue).catch((error: unknown) =>
        this.#log.warn({ event: 'consumer.left-unclosed', queue: this.#options.queue, err: error }),
      ),
    ]);
    closing.catch(() => undefined);
    clearInterval(this.#renewing);
  }

  async #process(job: BullJob, token = ''): Promise<null> {
    const id = job.id ?? '';
    const held: LiveLock = { id, token, attempts: [], lost: false, renewedAt: performance.now() };
    this.#locks.set(token, held);
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
      this.#locks.delete(token);
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

  #runSingle(job: BullJob, item: QueueItem, held: LiveLock): Promise<Disposition | undefined> {
    this.#entrySize += (1 - this.#entrySize) * weight;
    return this.#runOne(deliveryOf(job, item, this.#options.queue), held);
  }

  async #runBundle(job: BullJob, id: string, items: readonly QueueItem[], held: LiveLock): Promise<Disposition> {
    const deliveries = items.map((item) => deliveryOf(job, item, this.#options.queue));
    // A worker died with it or fell silent: whichever of its jobs did that must not take the others with it again.
    if (job.stalledCounter > 0) {
      await this.#bundles.split(id, deliveries);
      return 'remove';
    }
    this.#entrySize += (items.length - this.#entrySize) * weight;
    const open = await this.#bundles.admit(id, deliveries);
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
    return (['abandon', 'hand-back'] as const).find((worst) => all.includes(worst)) ?? 'remove';
  }

  /** Undefined when the job got no slot in time: another worker may have one. */
  async #runOne(
    delivery: Delivery,
    held: LiveLock,
    stillStands?: () => Promise<boolean>,
  ): Promise<Disposition | undefined> {
    if (!this.#slots.tryTake()) {
      if ((await this.#slots.take()) !== 'taken') return undefined;
      // It may have been cancelled while it waited.
      let stands = false;
      try {
        stands = (await stillStands?.()) ?? true;
      } finally {
        if (!stands) this.#slots.free();
      }
      if (!stands) return 'remove';
    }
    let startedAt: number | undefined = performance.now();
    const handlerEnded = (): void => {
      if (startedAt === undefined) return;
      this.#slots.free();
      this.#adapt(performance.now() - startedAt);
      startedAt = undefined;
    };
    const lock = new LockLoss();
    if (held.lost) lock.lose();
    held.attempts.push(lock);
    try {
      return await this.#options.run({ delivery, lock, handlerEnded, holdsLock: () => this.#holds(held) });
    } finally {
      handlerEnded();
    }
  }

  /**
   * While handlers are short, more jobs are under way than handlers run, so that writing the ends of some goes on beside
   * running others. While they are long no job is taken that would have to wait: another worker may be free for it.
   */
  #adapt(handlerMs: number): void {
    this.#handlerMs += (handlerMs - this.#handlerMs) * weight;
    const { concurrency } = this.#options;
    const several = concurrency >= leastConcurrency && this.#handlerMs < longHandlerMs / 2;
    const factor = several ? Math.max(1, shortHandlerFactor / this.#entrySize) : 1;
    const wanted = Math.ceil(concurrency * factor);
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

  /** Asks only when the last renewal is so long ago that the lock may have run out, as after a blocked event loop. */
  #holds(held: LiveLock): boolean | Promise<boolean> {
    if (held.lost) return false;
    if (performance.now() - held.renewedAt < this.#options.lockMs * 0.75) return true;
    return this.#renew().then(() => !held.lost);
  }

  async #renew(): Promise<void> {
    const locks = [...this.#locks.values()];
    if (locks.length === 0) return;
    const askedAt = performance.now();
    try {
      const lost = new Set(
        await withTimeout(
          this.#worker.extendJobLocks(
            locks.map(({ id }) => id),
            locks.map(({ token }) => token),
            this.#options.lockMs,
          ),
          this.#options.lockMs / 4,
          this.#options.queue,
        ),
      );
      for (const held of locks) {
        if (!lost.has(held.id)) {
          held.renewedAt = askedAt;
          continue;
        }
        held.lost = true;
        for (const attempt of held.attempts) attempt.lose();
      }
    } catch (error) {
      // While the queue's server is away nobody else can take the jobs either.
      this.#log.warn({ event: 'consumer.renewal-failed', queue: this.#options.queue, err: error });
    }
  }
}
