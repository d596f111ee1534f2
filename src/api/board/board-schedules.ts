import type { AppJobScheduler, JobSchedulerRepeatOptions, JobSchedulerUpdateResult } from '@bull-board/api/typings/app';
import { AppError } from '../../lib/errors/app-error.ts';
import type { Platform } from '../../platform.ts';
import type { AcceptedJob, Schedule } from '../../queues/ports.ts';

type BoardSchedule = Omit<AppJobScheduler, 'queueName'>;

const toBoard = (schedule: Schedule): BoardSchedule => ({
  id: schedule.name,
  name: schedule.jobName,
  ...(schedule.cron === null ? {} : { pattern: schedule.cron, tz: schedule.timeZone }),
  ...(schedule.everyMs === null ? {} : { every: schedule.everyMs }),
  ...(schedule.nextFireAt === null ? {} : { next: schedule.nextFireAt.getTime() }),
  ...(schedule.lastFireAt === null ? {} : { lastRun: schedule.lastFireAt.getTime() }),
  template: { data: schedule.payload, opts: { ...schedule.options } },
});

/** The schedules of a queue: those whose job goes into it. */
export class BoardSchedules {
  readonly #platform: Pick<Platform, 'schedules' | 'registry'>;

  constructor(platform: Pick<Platform, 'schedules' | 'registry'>) {
    this.#platform = platform;
  }

  async list(queue: string): Promise<readonly BoardSchedule[]> {
    const { schedules, registry } = this.#platform;
    return (await schedules.list()).filter(({ jobName }) => registry.find(jobName)?.queue === queue).map(toBoard);
  }

  async update(name: string, { pattern, every, tz }: JobSchedulerRepeatOptions): Promise<JobSchedulerUpdateResult> {
    const known = await this.#platform.schedules.find(name);
    if (!known) return 'not-found';
    const { jobName, payload, options, misfire, paused } = known;
    const times = pattern === undefined ? { everyMs: every } : { cron: pattern, timeZone: tz ?? known.timeZone };
    try {
      await this.#platform.schedules.put(name, { jobName, payload, options, misfire, paused, ...times });
      return 'updated';
    } catch (error) {
      if (error instanceof AppError && error.code === 'VALIDATION_ERROR') return 'invalid-schedule';
      throw error;
    }
  }

  async remove(name: string): Promise<boolean> {
    if (!(await this.#platform.schedules.find(name))) return false;
    await this.#platform.schedules.remove(name);
    return true;
  }

  /** Makes the schedule's job once, now. */
  async runNow(name: string): Promise<AcceptedJob | undefined> {
    const { schedules } = this.#platform;
    return (await schedules.find(name)) && schedules.run(name);
  }
}
