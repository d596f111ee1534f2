import { createTask, type Logger, type ScheduledTask } from 'node-cron';
import type { Log } from '../../lib/log/create-log.ts';
import { cronFields } from './check-cron.ts';
import type { Timing } from './fire-times.ts';

const isAny = (field: string): boolean => field === '*' || field === '?';

/**
 * The expressions whose times together are those of `cron`: node-cron wants day and weekday both to match where cron,
 * and the calendar that decides here, take either. What they say too much is harmless.
 */
const expressionsOf = (cron: string): readonly string[] => {
  const fields = cronFields(cron);
  if (!fields) return [];
  const [second, minute, hour, day, month, weekday] = fields;
  if (isAny(day) || isAny(weekday)) return [fields.join(' ')];
  return [[second, minute, hour, day, month, '*'].join(' '), [second, minute, hour, '*', month, weekday].join(' ')];
};

const loggerFor = (log: Log, schedule: string): Logger => ({
  info: () => undefined,
  debug: () => undefined,
  warn: () => undefined,
  error: (error) => log.error({ event: 'schedule.timer-failed', schedule, err: error }),
});

interface WakeUp {
  readonly timing: Timing;
  readonly tasks: readonly ScheduledTask[];
}

/**
 * Timers that call `wake` when a schedule may be due. They only wake: what is due is read from the calendar, so a timer
 * that fires twice, late or not at all does no harm.
 */
export class WakeUps {
  readonly #wake: (schedule: string) => void;
  readonly #log: Log;
  readonly #wakeUps = new Map<string, WakeUp>();

  constructor(wake: (schedule: string) => void, log: Log) {
    this.#wake = wake;
    this.#log = log;
  }

  /** Keeps a timer for exactly these schedules. */
  set(schedules: ReadonlyMap<string, Timing>): void {
    for (const [name, { timing, tasks }] of this.#wakeUps) {
      const wanted = schedules.get(name);
      if (wanted && wanted.cron === timing.cron && wanted.timeZone === timing.timeZone) continue;
      for (const task of tasks) void task.destroy();
      this.#wakeUps.delete(name);
    }
    for (const [name, timing] of schedules) {
      if (!this.#wakeUps.has(name)) this.#wakeUps.set(name, { timing, tasks: this.#start(name, timing) });
    }
  }

  close(): void {
    this.set(new Map());
  }

  #start(name: string, { cron, timeZone }: Timing): readonly ScheduledTask[] {
    const wake = (): void => this.#wake(name);
    return expressionsOf(cron).map((expression) => {
      const task = createTask(expression, wake, {
        timezone: timeZone,
        logger: loggerFor(this.#log, name),
        suppressMissedWarning: true,
      });
      task.on('execution:missed', wake);
      void task.start();
      return task;
    });
  }
}
