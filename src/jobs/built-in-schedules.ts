import type { BuiltInSchedule } from '../queues/schedules/sync-built-ins.ts';
import { maintenanceSchedules } from './maintenance/schedules.ts';

/** The schedules that Treadle brings. */
export const builtInSchedules: readonly BuiltInSchedule[] = [...maintenanceSchedules];
