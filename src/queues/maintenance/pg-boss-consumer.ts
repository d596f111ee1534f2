import type { JobWithMetadata, PgBoss } from 'pg-boss';
import type { Log } from '../../lib/log/create-log.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import { ledgerIdOf, type Consumer, type ConsumerOptions, type Delivery } from '../transport.ts';
import type { PgBossClient } from './pg-boss-client.ts';
import { parseItem, pgBossIdOf } from './pg-boss-item.ts';
import { giveBackClaim, renewClaim, type PgBossClaim } from './pg-boss-lock.ts';
import { maintenanceChannel } from './pg-boss-transport.ts';

export interface PgBossConsumerParts {
  readonly client: PgBossClient;
  readonly subscription: Subscription;
  readonly log: Log;
  /** How often it looks for work that no notification told of: given back by a silent worker, or missed. */
  readonly pollMs?: number;
}

interface LiveClaim extends PgBossClaim {
  readonly lost: AbortController;
  renewedAt: number;
}

/** A signal that can be given before somebody waits for it. */
class Bell {
  #ring = Promise.withResolvers<void>();

  ring(): void {
    this.#ring.resolve();
  }

  /** Resolves at the next ring, at once if it rang since the last wait, or after the time. */
  async wait(ms: number): Promise<void> {
    const timer = setTimeout(() => this.ring(), ms);
    await this.#ring.promise;
    clearTimeout(timer);
    this.#ring = Promise.withResolvers();
  }
}

/**
 * Takes items of one pg-boss queue, at most `concurrency` at a time. Woken by NOTIFY on the process' subscription and by
 * a slow poll. It renews its items' heartbeats; an item whose heartbeat lapsed belongs to whoever takes it next, and its
 * attempt here is told that the lock is lost.
 */
export class PgBossConsumer implements Consumer {
  readonly #parts: PgBossConsumerParts;
  readonly #options: ConsumerOptions;
  readonly #pollMs: number;
  readonly #bell = new Bell();
  readonly #claims = new Set<LiveClaim>();
  readonly #running = new Set<Promise<void>>();
  #paused = false;
  #renewing: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;

  constructor(parts: PgBossConsumerParts, options: ConsumerOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#pollMs = parts.pollMs ?? 5_000;
  }

  /** Begins to take items. Does not wait for the server: while it cannot be reached, it is tried again. */
  start(): void {
    this.#working ??= this.#work();
  }

  async pause(): Promise<void> {
    this.#paused = true;
    this.#bell.ring();
    await this.#working;
  }

  async close(): Promise<void> {
    await this.pause();
    await Promise.all(this.#running);
    clearInterval(this.#renewing);
  }

  async #work(): Promise<void> {
    const { subscription } = this.#parts;
    this.#renewing = setInterval(() => void this.#renewAll(), this.#lockMs / 4);
    const stopListening = await subscription.listen(
      maintenanceChannel,
      (queue) => {
        if (queue === this.#options.queue) this.#bell.ring();
      },
      () => this.#bell.ring(),
    );
    while (!this.#paused) {
      const free = this.#options.concurrency - this.#running.size;
      const taken = free > 0 ? await this.#take(free) : 0;
      if (!this.#paused && (free === 0 || taken < free)) await this.#bell.wait(this.#pollMs);
    }
    await stopListening();
  }
}
