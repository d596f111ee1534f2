import type { BuiltInSchedule } from '../queues/define-schedule.ts';
import { cacheSchedules } from './cache/schedules.ts';
import { maintenanceSchedules } from './maintenance/schedules.ts';
import { presenceSchedules } from './presence/schedules.ts';
import { searchSchedules } from './search/schedules.ts';

/** The schedules that Treadle brings. */
export const builtInSchedules: readonly BuiltInSchedule[] = [
  ...maintenanceSchedules,
  ...searchSchedules,
  ...presenceSchedules,
  ...cacheSchedules,
];
