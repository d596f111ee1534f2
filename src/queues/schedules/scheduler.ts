import { toAppError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import type { FindContract } from './check-schedule.ts';
import { faultsOfCron } from './check-cron.ts';
import { fireSchedule, type EnqueueScheduled } from './fire-schedule.ts';
import { fireTimesBetween, type Timing } from './fire-times.ts';
import { schedulesChannel } from './schedules-channel.ts';
import { syncBuiltIns, type BuiltInSchedule } from './sync-built-ins.ts';
import { WakeUps } from './wake-ups.ts';

export interface SchedulerParts {
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly log: Log;
  readonly enqueue: EnqueueScheduled;
  readonly findContract: FindContract;
  readonly builtIns: readonly BuiltInSchedule[];
}

export interface SchedulerOptions {
  readonly now?: () => Date;
  /** How often all schedules are looked at, for what timers and notifications missed. */
  readonly pollMs?: number;
  /** How late a fire is on time still; later ones are handled by the misfire policy. */
  readonly onTimeMs?: number;
}

interface StoredTiming extends Timing {
  readonly name: string;
  readonly settledUntil: Date;
}

const putOffMs = 60_000;

/**
 * Makes a job of each fire of each schedule. Any number of schedulers may run on one database: each fire happens once.
 * node-cron wakes it at the second; every `pollMs` it looks for itself, which finds what was missed while no scheduler
 * ran, after a jump of the clock, and where a schedule was written by plain SQL.
 */
export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #now: () => Date;
  readonly #pollMs: number;
  readonly #onTimeMs: number;
  readonly #wakeUps: WakeUps;
  readonly #firing = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  /** Schedules that failed for a reason of their own, and when (by the monotonic clock) they are tried again. */
  readonly #putOff = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #stopListening: (() => Promise<void>) | undefined;
  #closed = false;

  constructor(parts: SchedulerParts, options: SchedulerOptions = {}) {
    this.#parts = parts;
    this.#now = options.now ?? (() => new Date());
    this.#pollMs = options.pollMs ?? 10_000;
    this.#onTimeMs = options.onTimeMs ?? 60_000;
    this.#wakeUps = new WakeUps((name) => this.#fire(name), parts.log);
  }

  /** Stores the built-in schedules, makes up for missed fires, and begins. */
  async start(): Promise<void> {
    const { postgres, builtIns, findContract, subscription } = this.#parts;
    await syncBuiltIns(postgres, builtIns, findContract, this.#now());
    this.#stopListening = await subscription.listen(
      schedulesChannel,
      (name) => {
        this.#putOff.delete(name);
        void this.#look();
      },
      () => void this.#look(),
    );
    await this.#look();
  }

  /** Stops; fires that have begun are finished. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wakeUps.close();
    // Not waited for: it would wait for a server that cannot be reached.
    void this.#stopListening?.();
    await this.#looking;
    await Promise.all(this.#firing.values());
  }

  /** Reads all schedules, sets their timers and fires what is due; one look at a time. */
  #look(): Promise<void> {
    this.#lookAgain = true;
    this.#looking ??= this.#lookUntilDone().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookUntilDone(): Promise<void> {
    clearTimeout(this.#timer);
    while (this.#lookAgain && !this.#closed) {
      this.#lookAgain = false;
      try {
        await this.#lookOnce();
      } catch (error) {
        this.#parts.log.warn({ event: 'schedules.look-failed', err: error });
      }
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.#look(), this.#pollMs);
  }

  async #lookOnce(): Promise<void> {
    const { rows } = await this.#parts.postgres.query<{ [K in keyof StoredTiming]: StoredTiming[K] }>(
      `SELECT name, cron, time_zone AS "timeZone", settled_until AS "settledUntil"
       FROM treadle.schedules WHERE NOT paused`,
    );
    if (this.#closed) return;
    const usable = rows.filter((row) => !this.#isPutOff(row.name) && this.#isUsable(row));
    this.#wakeUps.set(new Map(usable.map(({ name, cron, timeZone }) => [name, { cron, timeZone }])));
    for (const row of usable) {
      if (fireTimesBetween(row, row.settledUntil, this.#now(), 1).length > 0) this.#fire(row.name);
    }
  }

  #isPutOff(name: string): boolean {
    const until = this.#putOff.get(name);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.#putOff.delete(name);
    return false;
  }

  /** False, and says so, for a schedule that plain SQL made nonsense of. */
  #isUsable({ name, cron, timeZone }: StoredTiming): boolean {
    const [fault] = faultsOfCron(cron);
    try {
      if (fault !== undefined) throw new Error(fault);
      fireTimesBetween({ cron, timeZone }, this.#now(), this.#now(), 1);
      return true;
    } catch (error) {
      this.#failed(name, error);
      return false;
    }
  }

  /** Fires the schedule if it is due; one attempt at a time, and one more if it is asked for meanwhile. */
  #fire(name: string): void {
    if (this.#closed || this.#isPutOff(name)) return;
    if (this.#firing.has(name)) {
      this.#again.add(name);
      return;
    }
    const done = this.#fireOnce(name).finally(() => {
      this.#firing.delete(name);
      if (this.#again.delete(name)) this.#fire(name);
    });
    this.#firing.set(name, done);
  }

  async #fireOnce(name: string): Promise<void> {
    const { postgres, enqueue, log } = this.#parts;
    try {
      const { fires, truncated } = await fireSchedule(name, {
        postgres,
        enqueue,
        now: this.#now,
        onTimeMs: this.#onTimeMs,
      });
      if (truncated) log.warn({ event: 'schedule.fires-dropped', schedule: name });
      if (fires.length > 0) log.debug({ event: 'schedule.fired', schedule: name, fires });
    } catch (error) {
      this.#failed(name, error);
    }
  }

  /** A fault that passes, such as a lost connection, is left to the next look. */
  #failed(name: string, error: unknown): void {
    if (!toAppError(error).retryable) this.#putOff.set(name, performance.now() + putOffMs);
    this.#parts.log.error({ event: 'schedule.fire-failed', schedule: name, err: error });
  }
}
