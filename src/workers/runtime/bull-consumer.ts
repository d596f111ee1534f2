import { WaitingError } from 'bullmq';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { BullConnection, BullJob, BullWorker } from '../../queues/bullmq/bull-connection.ts';
import {
  ledgerIdOf,
  LockLoss,
  type Consumer,
  type ConsumerOptions,
  type Delivery,
  type Disposition,
} from '../../queues/transport.ts';
import { HandlerSlots } from './handler-slots.ts';

/** Of a handler that runs longer, jobs taken beyond the concurrency would wait noticeably. */
const longHandlerMs = 50;
const shortHandlerFactor = 4;
/** Who runs few jobs at once may care about their order, which jobs taken beyond them would blur. */
const leastConcurrency = 8;

interface LiveLock {
  readonly id: string;
  readonly token: string;
  readonly lock: LockLoss;
  renewedAt: number;
}

const deliveryOf = (job: BullJob, id: string, queue: string): Delivery => ({
  id,
  jobId: ledgerIdOf(id),
  name: job.name,
  queue,
  envelope: job.data,
  stalls: job.stalledCounter,
  startedBefore: job.attemptsStarted > 1 || job.stalledCounter > 0,
});

/**
 * Takes jobs of one BullMQ queue. Renews their locks itself, because BullMQ's own renewal can keep a lock of an attempt
 * that has ended and lose that of a new one; a lock found lost aborts its attempt.
 */
export class BullConsumer implements Consumer {
  readonly #options: ConsumerOptions;
  readonly #log: Log;
  readonly #worker: BullWorker;
  readonly #locks = new Map<string, LiveLock>();
  readonly #renewing: NodeJS.Timeout;
  readonly #slots: HandlerSlots;
  /** A moving average over the handlers that ended. */
  #handlerMs = longHandlerMs;

  constructor(connection: BullConnection, options: ConsumerOptions, log: Log) {
    this.#options = options;
    this.#slots = new HandlerSlots(options.concurrency, longHandlerMs);
    this.#log = log;
    this.#worker = connection.openWorker(options.queue, (job, token) => this.#process(job, token), options);
    this.#renewing = setInterval(() => void this.#renew(), options.lockMs / 4);
  }

  async pause(): Promise<void> {
    await this.#worker.pause(true);
  }

  async close(): Promise<void> {
    await this.#worker.close();
    clearInterval(this.#renewing);
  }

  async #process(job: BullJob, token = ''): Promise<null> {
    const id = job.id ?? '';
    const held: LiveLock = { id, token, lock: new LockLoss(), renewedAt: performance.now() };
    this.#locks.set(token, held);
    let startedAt: number | undefined;
    const handlerEnded = (): void => {
      if (startedAt === undefined) return;
      this.#slots.free();
      this.#adapt(performance.now() - startedAt);
      startedAt = undefined;
    };
    try {
      let disposition: Disposition = 'hand-back';
      if (this.#slots.tryTake() || (await this.#slots.take()) === 'taken') {
        startedAt = performance.now();
        disposition = await this.#options.run({
          delivery: deliveryOf(job, id, this.#options.queue),
          lock: held.lock,
          handlerEnded,
          holdsLock: () => this.#holds(held),
        });
      }
      if (disposition === 'remove') return null;
      if (disposition === 'hand-back') await this.#handBack(job, token);
      // Tells BullMQ that the job is no longer this attempt's, so that it moves nothing.
      throw new WaitingError();
    } finally {
      handlerEnded();
      this.#locks.delete(token);
    }
  }

  /**
   * While handlers are short, more jobs are under way than handlers run, so that writing the ends of some goes on beside
   * running others. While they are long no job is taken that would have to wait: another worker may be free for it.
   */
  #adapt(handlerMs: number): void {
    this.#handlerMs = this.#handlerMs * 0.95 + handlerMs * 0.05;
    const { concurrency } = this.#options;
    const several = concurrency >= leastConcurrency && this.#handlerMs < longHandlerMs / 2;
    const wanted = several ? shortHandlerFactor * concurrency : concurrency;
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
  async #holds(held: LiveLock): Promise<boolean> {
    if (held.lock.lost) return false;
    if (performance.now() - held.renewedAt < this.#options.lockMs * 0.75) return true;
    await this.#renew();
    return !held.lock.lost;
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
        if (lost.has(held.id)) held.lock.lose();
        else held.renewedAt = askedAt;
      }
    } catch (error) {
      // While the queue's server is away nobody else can take the jobs either.
      this.#log.warn({ event: 'consumer.renewal-failed', queue: this.#options.queue, err: error });
    }
  }
}
