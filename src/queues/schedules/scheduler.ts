import { toAppError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import type { BuiltInSchedule } from '../define-schedule.ts';
import type { AcceptScheduled } from './accept-scheduled-jobs.ts';
import type { FindContract } from './check-schedule.ts';
import { fireSchedule } from './fire-schedule.ts';
import { nextFireTimes } from './fire-times.ts';
import { scheduleColumns, timingOf, type ScheduleRow } from './schedule-row.ts';
import { schedulesChannel } from './schedules-channel.ts';
import { syncBuiltIns } from './sync-built-ins.ts';

export interface SchedulerParts {
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly log: Log;
  readonly accept: AcceptScheduled;
  readonly findContract: FindContract;
  readonly builtIns: readonly BuiltInSchedule[];
  /** Called after each look, for the watch on standing loops. */
  readonly beat?: () => void;
}

export interface SchedulerOptions {
  readonly now?: () => Date;
  /** How often all schedules are looked at, for what timers and notifications missed. */
  readonly pollMs?: number;
  /** How late a fire is on time still; later ones are handled by the misfire policy. */
  readonly onTimeMs?: number;
}

/** The first fire time of a schedule that is not settled yet; it holds for this version of its row. */
interface Upcoming {
  readonly version: string;
  readonly row: ScheduleRow;
  /** Infinity when there is none. */
  readonly atMs: number;
}

const putOffMs = 60_000;
const retryMs = 1_000;

/** What the upcoming fire time of a row follows from. */
const versionOf = ({ cron, time_zone, every_ms, anchor_at, at, settled_until }: ScheduleRow): string =>
  JSON.stringify([cron, time_zone, every_ms, anchor_at, at, settled_until]);

/**
 * Makes a job of each fire of each schedule. Any number of schedulers may run on one database: each fire happens once.
 * A timer wakes it at the second; every `pollMs` it looks for itself, which finds what was missed while no scheduler
 * ran, after a jump of the clock, and where a schedule was written by plain SQL.
 */
export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #now: () => Date;
  readonly #pollMs: number;
  readonly #onTimeMs: number;
  #upcoming = new Map<string, Upcoming>();
  readonly #firing = new Map<string, Promise<void>>();
  /** Schedules that failed for a reason of their own, and when (by the monotonic clock) they are tried again. */
  readonly #putOff = new Map<string, number>();
  #pollTimer: NodeJS.Timeout | undefined;
  #wakeTimer: NodeJS.Timeout | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #stopListening: (() => Promise<void>) | undefined;
  #closed = false;

  constructor(parts: SchedulerParts, options: SchedulerOptions = {}) {
    this.#parts = parts;
    this.#now = options.now ?? (() => new Date());
    this.#pollMs = options.pollMs ?? 10_000;
    this.#onTimeMs = options.onTimeMs ?? 60_000;
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
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#wakeTimer);
    // Not waited for: it would wait for a server that cannot be reached.
    void this.#stopListening?.();
    await this.#looking;
    await Promise.all(this.#firing.values());
  }

  /** Reads all schedules and fires what is due; one look at a time. */
  #look(): Promise<void> {
    this.#lookAgain = true;
    this.#looking ??= this.#lookUntilDone().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookUntilDone(): Promise<void> {
    clearTimeout(this.#pollTimer);
    while (this.#lookAgain && !this.#closed) {
      this.#lookAgain = false;
      try {
        await this.#lookOnce();
      } catch (error) {
        this.#parts.log.warn({ event: 'schedules.look-failed', err: error });
      }
      this.#parts.beat?.();
    }
    if (!this.#closed) this.#pollTimer = setTimeout(() => void this.#look(), this.#pollMs);
  }

  async #lookOnce(): Promise<void> {
    const { rows } = await this.#parts.postgres.query<ScheduleRow & Record<string, unknown>>(
      `SELECT ${scheduleColumns} FROM treadle.schedules WHERE NOT paused`,
    );
    const upcoming = rows.filter(({ name }) => !this.#isPutOff(name)).flatMap((row) => this.#upcomingOf(row) ?? []);
    this.#upcoming = new Map(upcoming.map((each) => [each.row.name, each]));
    this.#fireDue();
  }

  /** Undefined, and says so, for a schedule that plain SQL made nonsense of. */
  #upcomingOf(row: ScheduleRow): Upcoming | undefined {
    const version = versionOf(row);
    const known = this.#upcoming.get(row.name);
    if (known?.version === version) return known;
    try {
      const [next] = nextFireTimes(timingOf(row), row.settled_until, 1);
      return { version, row, atMs: next?.getTime() ?? Number.POSITIVE_INFINITY };
    } catch (error) {
      this.#failed(row.name, error);
      return undefined;
    }
  }

  /** Fires what is due, and comes back when the next one is. */
  #fireDue(): void {
    clearTimeout(this.#wakeTimer);
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#now().getTime();
    for (const upcoming of this.#upcoming.values()) this.#fireOrWait(upcoming, nowMs);
  }

  #fireOrWait({ row, atMs }: Upcoming, nowMs: number): void {
    // Settled ahead of the clock: the clock was put back, and counts from now again.
    if (atMs <= nowMs || row.settled_until.getTime() > nowMs + this.#onTimeMs) this.#fire(row.name);
    else this.#wakeBy(atMs, nowMs);
  }

  #wakeBy(atMs: number, nowMs: number): void {
    if (this.#closed || atMs >= this.#wakeAtMs || atMs - nowMs > this.#pollMs) return;
    clearTimeout(this.#wakeTimer);
    this.#wakeAtMs = atMs;
    this.#wakeTimer = setTimeout(() => this.#fireDue(), atMs - nowMs);
  }

  #isPutOff(name: string): boolean {
    const until = this.#putOff.get(name);
    if (until === undefined) return false;
    if (performance.now() < until) return true;
    this.#putOff.delete(name);
    return false;
  }

  /** Fires the schedule if it is due; one attempt at a time. */
  #fire(name: string): void {
    if (this.#closed || this.#firing.has(name) || this.#isPutOff(name)) return;
    this.#firing.set(name, this.#fireAndGoOn(name));
  }

  async #fireAndGoOn(name: string): Promise<void> {
    const row = await this.#fireOnce(name);
    this.#firing.delete(name);
    const nowMs = this.#now().getTime();
    if (row === 'again') {
      this.#wakeBy(nowMs + retryMs, nowMs);
      return;
    }
    const upcoming = row && this.#upcomingOf(row);
    if (!upcoming) {
      this.#upcoming.delete(name);
      return;
    }
    this.#upcoming.set(name, upcoming);
    this.#fireOrWait(upcoming, nowMs);
  }

  /** Answers the schedule as it is then; `again` after a fault that passes; undefined when it is gone, paused or put off. */
  async #fireOnce(name: string): Promise<ScheduleRow | 'again' | undefined> {
    const { postgres, accept, log } = this.#parts;
    try {
      const { row, fires, dropped, truncated } = await fireSchedule(name, {
        postgres,
        accept,
        now: this.#now,
        onTimeMs: this.#onTimeMs,
      });
      if (truncated) log.warn({ event: 'schedule.fires-dropped', schedule: name });
      if (fires.length > 0 || dropped.length > 0)
        log.debug({ event: 'schedule.fired', schedule: name, fires, dropped });
      return row;
    } catch (error) {
      this.#failed(name, error);
      return this.#putOff.has(name) ? undefined : 'again';
    }
  }

  /** Puts the schedule off, unless the fault passes by itself, such as a lost connection. */
  #failed(name: string, error: unknown): void {
    if (!toAppError(error).retryable) this.#putOff.set(name, performance.now() + putOffMs);
    this.#parts.log.error({ event: 'schedule.fire-failed', schedule: name, err: error });
  }
}
