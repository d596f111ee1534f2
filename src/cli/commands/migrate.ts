import type { Command } from 'commander';
import type { SchemaStatus } from '../../queues/migrations/migrate-all.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { wholeNumber } from '../arguments.ts';
import { table } from '../../lib/terminal/table.ts';

const addUp = (migrate: Command, run: RunCommand): void => {
  migrate
    .command('up')
    .description(
      "apply what is pending: Treadle's schema, and those of BullMQ and pg-boss; tell SQL which jobs there are",
    )
    .action(
      run(async ({ config, database, log, output }) => {
        const { createRegistry, loadJobs } = await import('../../process-jobs.ts');
        const registry = createRegistry(config, await loadJobs(config));
        const { directUrl } = await database();
        const { migrateAll, publishAll } = await import('../../queues/migrations/migrate-all.ts');
        const applied = await migrateAll(directUrl, log);
        await publishAll(directUrl, registry);
        output.result({ applied }, () =>
          applied.length === 0 ? 'The schema is up to date.' : `Applied ${applied.join(', ')}.`,
        );
      }),
    );
};

const addDown = (migrate: Command, run: RunCommand): void => {
  migrate
    .command('down')
    .description("take back Treadle's last migrations with the data in them; BullMQ's and pg-boss's schemas stay")
    .argument('[count]', 'how many', wholeNumber(1, 1_000), 1)
    .action(
      run(async ({ database, log, output }, count: number) => {
        const { directUrl } = await database();
        const { migrateDownBy } = await import('../../queues/migrations/migrate-all.ts');
        const takenBack = await migrateDownBy(directUrl, log, count);
        output.result({ takenBack }, () =>
          takenBack.length === 0 ? 'There is nothing to take back.' : `Took back ${takenBack.join(', ')}.`,
        );
      }),
    );
};

const statusText = ({ migrations, bullmq, pgBoss }: SchemaStatus): string => {
  const libraries = [
    { name: 'bullmq', ...bullmq },
    { name: 'pg-boss', ...pgBoss },
  ].map(({ name, version, expected }) => ({
    name: `${name} ${expected}`,
    state: version === 0 ? 'pending' : version < expected ? `pending, is ${version}` : 'applied',
    appliedAt: null,
  }));
  return table(
    [...migrations, ...libraries],
    [
      { title: 'migration', value: (row) => row.name },
      { title: 'state', value: (row) => row.state },
      { title: 'applied', value: (row) => row.appliedAt },
    ],
    'There are no migrations.',
  );
};

const addStatus = (migrate: Command, run: RunCommand): void => {
  migrate
    .command('status')
    .description('show what is applied and what is pending; changes nothing')
    .action(
      run(async ({ database, output }) => {
        const { directUrl } = await database();
        const { statusAll } = await import('../../queues/migrations/migrate-all.ts');
        const status = await statusAll(directUrl);
        output.result(status, () => statusText(status));
      }),
    );
};

export const addMigrate: AddCommand = (program, run) => {
  const migrate = program
    .command('migrate')
    .description("bring the database's schema up to date, take migrations back, or show where it stands");
  addUp(migrate, run);
  addDown(migrate, run);
  addStatus(migrate, run);
};
