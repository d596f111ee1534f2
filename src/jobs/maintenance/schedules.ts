import { defineSchedule, type BuiltInSchedule } from '../../queues/define-schedule.ts';
import { prune, reconcile, verifyIndexJob } from './contract.ts';

/**
 * The schedules Treadle brings for its own housekeeping. A run that still waits takes the place of the next one, so that
 * they don't pile up while no worker runs.
 */
export const maintenanceSchedules: readonly BuiltInSchedule[] = [
  defineSchedule({
    name: 'maintenance.prune',
    job: prune,
    cron: '17 * * * *',
    options: { deduplicationKey: 'scheduled' },
  }),
  defineSchedule({
    name: 'maintenance.reconcile',
    job: reconcile,
    cron: '*/5 * * * *',
    misfire: 'skip',
    options: { deduplicationKey: 'scheduled' },
  }),
  // Of an installation without Elasticsearch there is nothing to compare.
  defineSchedule({
    name: 'maintenance.verify-index',
    job: verifyIndexJob,
    cron: '37 * * * *',
    misfire: 'skip',
    options: { deduplicationKey: 'scheduled' },
  }),
];
