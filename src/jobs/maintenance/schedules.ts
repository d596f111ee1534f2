import { prune, reconcile } from './contract.ts';

/**
 * The schedules Treadle brings for its own housekeeping. A run that still waits takes the place of the next one, so that
 * they don't pile up while no worker runs.
 */
export const maintenanceSchedules = [
  {
    name: 'maintenance.prune',
    jobName: prune.name,
    cron: '17 * * * *',
    timeZone: 'UTC',
    misfire: 'once',
    options: { deduplicationKey: 'scheduled' },
  },
  {
    name: 'maintenance.reconcile',
    jobName: reconcile.name,
    cron: '*/5 * * * *',
    timeZone: 'UTC',
    misfire: 'skip',
    options: { deduplicationKey: 'scheduled' },
  },
] as const;
