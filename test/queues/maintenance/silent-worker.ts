import { openMaintenance } from './maintenance-fixtures.ts';

/** A worker process that takes items and never ends them; says the id of each on standard output. */
const [, , url = ''] = process.argv;
const maintenance = openMaintenance(url, 'silent-worker');
maintenance.consume((attempt) => {
  process.stdout.write(`${attempt.delivery.id}\n`);
  return new Promise(() => undefined);
});
