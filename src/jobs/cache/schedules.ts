import { defineSchedule, type BuiltInSchedule } from '../../queues/define-schedule.ts';
import { warmDueWorkspaces } from './contract.ts';

export const cacheSchedules: readonly BuiltInSchedule[] = [
  defineSchedule({
    name: 'cache.warm-due-workspaces',
    job: warmDueWorkspaces,
    cron: '3 * * * *',
    misfire: 'skip',
    options: { deduplicationKey: 'scheduled' },
  }),
];
