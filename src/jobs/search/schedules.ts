import { defineSchedule, type BuiltInSchedule } from '../../queues/define-schedule.ts';
import { flushAnalytics } from './contract.ts';

export const searchSchedules: readonly BuiltInSchedule[] = [
  defineSchedule({
    name: 'search.flush-analytics',
    job: flushAnalytics,
    cron: '47 * * * *',
    options: { deduplicationKey: 'scheduled' },
  }),
];
