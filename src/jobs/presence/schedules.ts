import { defineSchedule, type BuiltInSchedule } from '../../queues/define-schedule.ts';
import { cleanInactive } from './contract.ts';

export const presenceSchedules: readonly BuiltInSchedule[] = [
  defineSchedule({
    name: 'presence.clean-inactive',
    job: cleanInactive,
    cron: '* * * * *',
    misfire: 'skip',
    options: { deduplicationKey: 'scheduled' },
  }),
];
