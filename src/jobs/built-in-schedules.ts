import type { BuiltInSchedule } from '../queues/schedules/sync-built-ins.ts';

/** The schedules that Treadle brings. */
export const builtInSchedules: readonly BuiltInSchedule[] = [];
