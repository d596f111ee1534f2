import type { Platform } from '../platform.ts';
import type { BuiltInSchedule } from '../queues/schedules/sync-built-ins.ts';
import { Relay } from '../queues/relay/relay.ts';
import { acceptScheduledJob } from '../queues/schedules/accept-scheduled-job.ts';
import { Scheduler } from '../queues/schedules/scheduler.ts';
import type { RunningRole } from './running-role.ts';

export interface SchedulerRoleOptions {
  readonly schedules: readonly BuiltInSchedule[];
}

const relaySilentMs = 60_000;

/** Fires schedules and stands for the relay's leadership until it is closed. */
export const startScheduler = async (platform: Platform, { schedules }: SchedulerRoleOptions): Promise<RunningRole> => {
  const { postgres, subscription, registry, log } = platform;
  const loop = platform.loops.watch('relay', relaySilentMs);
  const relay = new Relay({
    postgres,
    subscription,
    transports: await platform.transports.all(),
    reconciler: await platform.reconciler(),
    log,
    beat: () => loop.beat(),
  });
  await relay.start();
  const scheduler = new Scheduler({
    postgres,
    subscription,
    log,
    enqueue: (tx, job) => acceptScheduledJob(tx, registry, job),
    findContract: (name) => registry.find(name),
    builtIns: schedules,
  });
  await scheduler.start();
  log.info({ event: 'scheduler.started' });
  return {
    close: async () => {
      await scheduler.close();
      await relay.close();
      loop.end();
    },
  };
};
