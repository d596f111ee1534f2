import type { Command } from 'commander';
import type { MigrationTrial } from '../../lib/migrations/try-migrations.ts';
import type { SchemaStatus } from '../../queues/migrations/migrate-all.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { wholeNumber } from '../arguments.ts';
import { table } from '../../lib/terminal/table.ts';
import type { CommandContext } from '../command-context.ts';
import { addMigrateCheck } from './migrate-check.ts';
import { addMigrateData } from './migrate-data.ts';

interface UpOptions {
  readonly dryRun?: true;
  readonly backup?: string;
  readonly allowLocks?: boolean;
}

const trialText = ({ name, outcome, reason, hazards }: MigrationTrial): string => {
  const words = { passes: 'passes', fails: 'FAILS', 'not-tried': 'not tried' }[outcome];
  const locks = hazards.map(
    ({ line, table: of, rows, what }) => `  line ${line}, ${of} (about ${rows ?? '?'} rows): ${what}`,
  );
  return [`${name}: ${words}${reason === null ? '' : `, ${reason}`}`, ...locks].join('\n');
};

const dryRunUp = async ({ database, log, output, fail }: CommandContext): Promise<void> => {
  const { directUrl } = await database();
  const { tryAll } = await import('../../queues/migrations/migrate-all.ts');
  const trials = await tryAll(directUrl, log);
  output.result({ dryRun: trials }, () =>
    trials.length === 0 ? 'The schema is up to date.' : ['This would be applied:', ...trials.map(trialText)].join('\n'),
  );
  if (trials.some(({ outcome, hazards }) => outcome === 'fails' || hazards.length > 0)) fail();
};

const addUp = (migrate: Command, run: RunCommand): void => {
  migrate
    .command('up')
    .description(
      "apply what is pending: Treadle's schema, and those of BullMQ and pg-boss; tell SQL which jobs there are",
    )
    .option('--dry-run', 'show what is pending, and try it in a transaction that is rolled back')
    .option('--backup <file or folder>', 'before anything is changed, write the schemas there with pg_dump')
    .option('--allow-locks', 'apply also what keeps large tables from their users for long')
    .action(
      run(async (context, { dryRun, backup, allowLocks = false }: UpOptions) => {
        if (dryRun === true) {
          await dryRunUp(context);
          return;
        }
        const { config, database, log, output, signal } = context;
        const { createRegistry, loadJobs } = await import('../../process-jobs.ts');
        const registry = createRegistry(config, await loadJobs(config));
        const { directUrl } = await database();
        const { backUpAll, migrateAll, publishAll } = await import('../../queues/migrations/migrate-all.ts');
        const written: (string | undefined)[] = [];
        const beforeChanges = async (): Promise<void> => {
          if (backup !== undefined) written.push(await backUpAll(directUrl, backup, signal));
        };
        const applied = await migrateAll(directUrl, log, { allowLocks, beforeChanges });
        await publishAll(directUrl, registry);
        const [file] = written;
        output.result({ applied, ...(backup === undefined ? {} : { backup: file ?? null }) }, () => {
          const kept = file === undefined ? '' : ` What was there before is in ${file}.`;
          return applied.length === 0 ? 'The schema is up to date.' : `Applied ${applied.join(', ')}.${kept}`;
        });
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
  addMigrateCheck(migrate, run);
  addMigrateData(migrate, run);
};
