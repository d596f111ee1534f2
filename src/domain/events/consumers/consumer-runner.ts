import { setTimeout as delay } from 'node:timers/promises';
import type { WatchedLoop } from '../../../lib/health/loop-watch.ts';
import type { Log } from '../../../lib/log/create-log.ts';
import type { Platform } from '../../../platform.ts';
import type { EventLog } from '../event-log.ts';
import type { ConsumerHolder, ConsumerPositions } from './consumer-positions.ts';
import { ConsumerRun, type Delivery } from './consumer-run.ts';
import type { EventConsumer } from './define-consumer.ts';

export interface ConsumerRunnerParts {
  readonly consumer: EventConsumer;
  readonly positions: ConsumerPositions;
  readonly events: EventLog;
  readonly platform: Platform;
  readonly log: Log;
  readonly loop: WatchedLoop;
  readonly count: (outcome: Delivery, events: number) => void;
  /** How long a process that says nothing has the consumer: 5 s by default. */
  readonly leaseMs?: number | undefined;
}

const failedPauseMs = 1_000;

/**
 * Runs a consumer in this process whenever no other one has it: who has it says so every third of a lease, and who does not for
 * a whole one has lost it. What a process writes that has lost it without knowing is refused.
 */
export class ConsumerRunner {
  readonly #parts: ConsumerRunnerParts;
  readonly #leaseMs: number;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #renewal: NodeJS.Timeout | undefined;

  constructor(parts: ConsumerRunnerParts) {
    this.#parts = parts;
    this.#leaseMs = parts.leaseMs ?? 5_000;
  }

  start(): void {
    this.#running = this.#stand();
  }

  /** Aborts the handler's signal, and waits until it has ended, for up to `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort();
    const over = new AbortController();
    await Promise.race([this.#running, delay(graceMs, undefined, { signal: over.signal }).catch(() => undefined)]);
    over.abort();
    // A handler that goes on all the same is left to itself.
    clearInterval(this.#renewal);
  }

  async #stand(): Promise<void> {
    const { consumer, positions, events, platform, log, loop } = this.#parts;
    const { signal } = this.#closing;
    let registered = false;
    while (!signal.aborted) {
      loop.beat();
      let pauseMs = Math.min(1_000, this.#leaseMs / 4);
      try {
        if (!registered) await events.mend();
        if (!registered) await positions.register(consumer.name, consumer.types, consumer.from);
        registered = true;
        const taken = await positions.take(consumer.name, platform.processId, this.#leaseMs);
        if (taken) {
          log.info({ event: 'consumer.taken', losses: taken.losses });
          const lost = new AbortController();
          const run = new ConsumerRun(this.#parts, taken, AbortSignal.any([signal, lost.signal]));
          await this.#whileRenewing(taken.holder, lost, () => run.run());
        }
      } catch (error) {
        log.warn({ event: 'consumer.interrupted', err: error });
        // Somebody may have made the consumer be forgotten.
        registered = false;
        pauseMs = failedPauseMs;
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
    loop.end();
  }

  async #whileRenewing(holder: ConsumerHolder, lost: AbortController, work: () => Promise<void>): Promise<void> {
    const { positions, loop, log } = this.#parts;
    let renewedAt = performance.now();
    let renewing = false;
    const renew = async (): Promise<void> => {
      if (renewing) return;
      renewing = true;
      const asked = performance.now();
      try {
        if (await positions.renew(holder)) renewedAt = asked;
        else lost.abort(new Error('another process has taken the consumer'));
      } catch (error) {
        log.warn({ event: 'consumer.not-renewed', err: error });
      } finally {
        renewing = false;
      }
    };
    this.#renewal = setInterval(() => {
      loop.beat();
      if (performance.now() - renewedAt > this.#leaseMs) lost.abort(new Error('the lease could not be renewed'));
      else void renew();
    }, this.#leaseMs / 3);
    try {
      await work();
    } finally {
      clearInterval(this.#renewal);
      await positions.release(holder).catch(() => undefined);
    }
  }
}
