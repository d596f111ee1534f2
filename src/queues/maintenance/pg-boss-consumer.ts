import type { JobWithMetadata, PgBoss } from 'pg-boss';
import { Alarm } from '../../lib/batching/alarm.ts';
import type { LoopWatch, WatchedLoop } from '../../lib/health/loop-watch.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import {
  LockLoss,
  ledgerIdOf,
  type Consumer,
  type ConsumerOptions,
  type Delivery,
  type Disposition,
} from '../transport.ts';
import { maintenanceChannel, wakeConsumers } from './maintenance-channel.ts';
import { giveBackClaim, renewClaim, type PgBossClaim } from './pg-boss-claim.ts';
import { heartbeatMsOf, type PgBossClient } from './pg-boss-client.ts';
import { parseItem } from './pg-boss-item.ts';

export interface PgBossConsumerParts {
  readonly client: PgBossClient;
  readonly subscription: Subscription;
  readonly loops?: LoopWatch;
  readonly log: Log;
  /** How often it looks for what no notification told of, such as the items of workers that fell silent. */
  readonly pollMs?: number;
}

interface LiveClaim extends PgBossClaim {
  readonly lock: LockLoss;
  renewedAt: number;
}

const silentMs = 60_000;

/**
 * Takes items of one pg-boss queue from when it is made, at most `concurrency` at a time. Woken by NOTIFY on the
 * process' subscription, and by a slow poll. It renews its items' heartbeats; an item whose heartbeat lapsed belongs to
 * whoever takes it next, and its attempt here is told that the lock is lost.
 */
export class PgBossConsumer implements Consumer {
  readonly #parts: PgBossConsumerParts;
  readonly #options: ConsumerOptions;
  readonly #heartbeatMs: number;
  readonly #alarm = new Alarm();
  readonly #claims = new Set<LiveClaim>();
  readonly #running = new Set<Promise<void>>();
  readonly #renewing: NodeJS.Timeout;
  readonly #taking: Promise<void>;
  readonly #fetching: WatchedLoop | undefined;
  readonly #renewals: WatchedLoop | undefined;
  #paused = false;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(parts: PgBossConsumerParts, options: ConsumerOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#heartbeatMs = heartbeatMsOf(options.lockMs);
    this.#fetching = parts.loops?.watch(`fetch ${options.queue}`, silentMs);
    this.#renewals = parts.loops?.watch(`locks ${options.queue}`, silentMs);
    this.#renewing = setInterval(() => void this.#renewAll(), this.#heartbeatMs / 4);
    void this.#listen();
    this.#taking = this.#takeUntilPaused();
  }

  async pause(): Promise<void> {
    this.#paused = true;
    this.#alarm.ring();
    this.#fetching?.end();
    await this.#taking;
  }

  async close(): Promise<void> {
    await this.pause();
    void this.#stopListening?.();
    await Promise.all(this.#running);
    clearInterval(this.#renewing);
    this.#renewals?.end();
  }

  /** Without notifications the poll still finds everything; the subscription listens again when it is connected again. */
  async #listen(): Promise<void> {
    const { subscription, log } = this.#parts;
    const { queue } = this.#options;
    try {
      const stop = await subscription.listen(
        maintenanceChannel,
        (named) => {
          if (named === queue) this.#alarm.ring();
        },
        () => this.#alarm.ring(),
      );
      if (this.#paused) await stop();
      else this.#stopListening = stop;
    } catch (error) {
      log.warn({ event: 'maintenance.listen-failed', queue, err: error });
    }
  }

  async #takeUntilPaused(): Promise<void> {
    while (!this.#paused) {
      this.#fetching?.beat();
      const free = this.#options.concurrency - this.#running.size;
      const taken = free > 0 ? await this.#take(free) : 0;
      if (!this.#paused && taken < Math.max(free, 1)) await this.#alarm.sleep(this.#parts.pollMs ?? 5_000);
    }
  }

  async #take(free: number): Promise<number> {
    const { queue, lockMs } = this.#options;
    try {
      const boss = await this.#parts.client.open(queue, lockMs);
      if (await this.#isQueuePaused()) return 0;
      const askedAt = performance.now();
      const jobs = await boss.fetch<unknown>(queue, { batchSize: free, includeMetadata: true });
      for (const job of jobs) {
        const run = this.#run(boss, job, askedAt).finally(() => {
          this.#running.delete(run);
          this.#alarm.ring();
        });
        this.#running.add(run);
      }
      return jobs.length;
    } catch (error) {
      this.#parts.log.warn({ event: 'maintenance.take-failed', queue, err: error });
      return 0;
    }
  }

  async #isQueuePaused(): Promise<boolean> {
    const { rows } = await this.#parts.client.pool.query<{ paused: boolean }>(
      'SELECT paused FROM treadle.queues WHERE name = $1',
      [this.#options.queue],
    );
    return rows[0]?.paused === true;
  }

  /** Never rejects: an item that cannot be disposed of is given out again when its heartbeat lapses. */
  async #run(boss: PgBoss, job: JobWithMetadata<unknown>, renewedAt: number): Promise<void> {
    const { queue, run } = this.#options;
    const { id, retryCount } = job;
    const claim: LiveClaim = { queue, id, retryCount, renewedAt, lock: new LockLoss() };
    this.#claims.add(claim);
    try {
      const item = parseItem(job.data);
      if (!item) {
        this.#parts.log.error({ event: 'maintenance.foreign-item', queue, id });
        await boss.cancel(queue, id);
        return;
      }
      const delivery: Delivery = {
        ...item,
        jobId: ledgerIdOf(item.id),
        queue,
        stalls: retryCount,
        // pg-boss doesn't tell an item that was given back from a new one, so the ledger is always asked.
        startedBefore: true,
      };
      const disposition = this.#paused
        ? 'hand-back'
        : await run({ delivery, lock: claim.lock, handlerEnded: () => undefined, holdsLock: () => this.#holds(claim) });
      await this.#dispose(boss, claim, disposition);
    } catch (error) {
      this.#parts.log.warn({ event: 'maintenance.item-left', queue, id, err: error });
    } finally {
      this.#claims.delete(claim);
    }
  }

  async #dispose(boss: PgBoss, claim: PgBossClaim, disposition: Disposition): Promise<void> {
    const { pool } = this.#parts.client;
    switch (disposition) {
      case 'remove':
        await boss.deleteJob(claim.queue, claim.id);
        return;
      case 'hand-back':
        if (await giveBackClaim(pool, claim)) await wakeConsumers(pool, claim.queue);
        return;
      case 'abandon':
    }
  }

  async #renewAll(): Promise<void> {
    await Promise.all([...this.#claims].map((claim) => this.#holds(claim)));
    this.#renewals?.beat();
  }

  /** Asks Postgres, which renews the heartbeat. While it does not answer, the claim holds until its heartbeat lapses. */
  async #holds(claim: LiveClaim): Promise<boolean> {
    if (claim.lock.lost) return false;
    const askedAt = performance.now();
    let held: boolean;
    try {
      held = await renewClaim(this.#parts.client.pool, claim);
      if (held) claim.renewedAt = askedAt;
    } catch (error) {
      held = performance.now() - claim.renewedAt < this.#heartbeatMs;
      this.#parts.log.warn({ event: 'maintenance.renewal-failed', queue: claim.queue, id: claim.id, err: error });
    }
    if (!held && this.#claims.has(claim)) claim.lock.lose();
    return held;
  }
}
