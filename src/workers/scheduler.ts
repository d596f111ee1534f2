import type { Platform } from '../platform.ts';
import type { BuiltInSchedule } from '../queues/define-schedule.ts';
import { Relay } from '../queues/relay/relay.ts';
import { acceptScheduledJobs } from '../queues/schedules/accept-scheduled-jobs.ts';
import { Scheduler } from '../queues/schedules/scheduler.ts';
import type { RunningRole } from './running-role.ts';

export interface SchedulerRoleOptions {
  readonly schedules: readonly BuiltInSchedule[];
}

const silentMs = 60_000;

/** Fires schedules and stands for the relay's leadership until it is closed. */
export const startScheduler = async (platform: Platform, { schedules }: SchedulerRoleOptions): Promise<RunningRole> => {
  const { postgres, subscription, registry, log } = platform;
  const relayLoop = platform.loops.watch('relay', silentMs);
  const scheduleLoop = platform.loops.watch('schedules', silentMs);
  let leads = false;
  const stopMeasuring = platform.meter.addSource('relay', () => [
    {
      name: 'treadle_relay_leads',
      help: '1 in the process whose relay leads.',
      type: 'gauge',
      samples: [{ labels: {}, value: Number(leads) }],
    },
  ]);
  const relay = new Relay({
    postgres,
    subscription,
    transports: await platform.transports.all(),
    queues: registry.queues,
    reconciler: await platform.reconciler(),
    log,
    beat: () => relayLoop.beat(),
    onAdded: (queue, jobs) => platform.jobMetrics.relayed(queue, jobs),
    onLeading: (now) => {
      leads = now;
    },
  });
  await relay.start();
  const scheduler = new Scheduler({
    postgres,
    subscription,
    log,
    accept: acceptScheduledJobs(registry),
    findContract: (name) => registry.find(name),
    builtIns: schedules,
    beat: () => scheduleLoop.beat(),
  });
  await scheduler.start();
  log.info({ event: 'scheduler.started' });
  return {
    close: async () => {
      await scheduler.close();
      await relay.close();
      relayLoop.end();
      scheduleLoop.end();
      stopMeasuring();
    },
  };
};
