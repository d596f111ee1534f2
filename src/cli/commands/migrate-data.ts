import type { Command } from 'commander';
import type { DataMigrationStatus } from '../../lib/migrations/data/data-migration-record.ts';
import type { DataMigration } from '../../lib/migrations/data/define-data-migration.ts';
import type { RunContext, RunEnd } from '../../lib/migrations/data/run-steps.ts';
import type { DataMigrationTrial } from '../../lib/migrations/data/try-data-migration.ts';
import { table } from '../../lib/terminal/table.ts';
import type { RunCommand } from '../add-command.ts';
import type { CommandContext } from '../command-context.ts';

interface Options {
  readonly dryRun?: true;
}

const statusText = (items: readonly DataMigrationStatus[]): string =>
  table(
    items,
    [
      { title: 'data migration', value: ({ name }) => name },
      {
        title: 'state',
        value: ({ state, description }) => (description === null ? `${state}, not in this code` : state),
      },
      { title: 'changed', value: ({ changed }) => changed, align: 'right' },
      { title: 'started', value: ({ startedAt }) => startedAt },
      { title: 'finished', value: ({ finishedAt }) => finishedAt },
      {
        title: 'what it does, or why it failed',
        value: ({ error, description }) => error ?? description,
        maxWidth: 80,
      },
    ],
    'There are no data migrations: list them in the defineJobs() of a module that TREADLE_JOBS names.',
  );

const addStatus = (data: Command, run: RunCommand): void => {
  data
    .command('status')
    .description('show every data migration and how far it is; changes nothing')
    .action(
      run(async ({ platform, output }) => {
        const { postgres, app } = await platform();
        const { dataMigrationStatus } = await import('../../lib/migrations/data/data-migration-record.ts');
        const items = await dataMigrationStatus(postgres, app.dataMigrations);
        output.result({ items }, () => statusText(items));
      }),
    );
};

const choose = async ({ platform }: CommandContext, name: string | undefined): Promise<readonly DataMigration[]> => {
  const { app } = await platform();
  const { chooseDataMigrations } = await import('../../lib/migrations/data/choose-data-migrations.ts');
  return chooseDataMigrations(app.dataMigrations, name);
};

const trialText = ({ name, state, left, batch, faults }: DataMigrationTrial): string => {
  if (faults.length > 0) return `${name} is ${state} and would fail: ${faults.join('; ')}`;
  if (batch === null) return `${name} is ${state}: there is nothing to do.`;
  return `${name} is ${state}${left === null ? '' : `, ${left} left`}; the next batch passes, with ${batch} changes.`;
};

const showTrials = ({ output, fail }: CommandContext, trials: readonly DataMigrationTrial[]): void => {
  output.result({ dryRun: trials }, () =>
    trials.length === 0 ? 'There are no data migrations.' : trials.map(trialText).join('\n'),
  );
  if (trials.some(({ faults }) => faults.length > 0)) fail();
};

/** Runs one with a bar. */
const withBar = async (
  { platform, output, signal }: CommandContext,
  { name }: DataMigration,
  work: (context: RunContext) => Promise<RunEnd>,
): Promise<RunEnd> => {
  const { postgres } = await platform();
  const { openProgressBar } = await import('../../lib/terminal/progress-bar.ts');
  const bar = await openProgressBar(name, 'changes', output);
  try {
    const onProgress: RunContext['onProgress'] = ({ done, total }) => bar.update(done, Math.max(done, total ?? 0));
    return await work({ postgres, signal, onProgress: output.interactive ? onProgress : undefined });
  } finally {
    bar.stop();
    if (signal.aborted) output.note('Interrupted between two batches; the same command goes on.');
  }
};

const addUp = (data: Command, run: RunCommand): void => {
  data
    .command('up')
    .description('run the data migrations that are not valid yet, in the order of their names, and validate them')
    .argument('[name]', 'only this one')
    .option('--dry-run', 'try the next batch of each in a transaction that is rolled back')
    .action(
      run(async (context, name: string | undefined, { dryRun }: Options) => {
        const migrations = await choose(context, name);
        const { postgres } = await context.platform();
        if (dryRun === true) {
          const { tryDataMigration } = await import('../../lib/migrations/data/try-data-migration.ts');
          const trials: DataMigrationTrial[] = [];
          for (const migration of migrations) trials.push(await tryDataMigration(migration, postgres));
          showTrials(context, trials);
          return;
        }
        const { applyDataMigration } = await import('../../lib/migrations/data/apply-data-migration.ts');
        const ends: RunEnd[] = [];
        for (const migration of migrations)
          ends.push(await withBar(context, migration, (running) => applyDataMigration(migration, running)));
        const migrated = ends.map(({ record: { name: of, state, changed }, done }) => ({
          name: of,
          state,
          changed,
          byThisRun: done,
        }));
        context.output.result({ migrations: migrated }, () =>
          migrated.length === 0
            ? 'There are no data migrations.'
            : migrated
                .map((each) => `${each.name} is ${each.state}: ${each.changed} changes, ${each.byThisRun} of them now.`)
                .join('\n'),
        );
      }),
    );
};

const addDown = (data: Command, run: RunCommand): void => {
  data
    .command('down')
    .description('undo what a data migration has changed, and nobody has written over since')
    .argument('<name>', 'which one')
    .option('--dry-run', 'try the next batch in a transaction that is rolled back')
    .action(
      run(async (context, name: string, { dryRun }: Options) => {
        const migrations = await choose(context, name);
        const { postgres } = await context.platform();
        const taking = await import('../../lib/migrations/data/take-back-data-migration.ts');
        const trying = await import('../../lib/migrations/data/try-data-migration.ts');
        for (const migration of migrations) {
          if (dryRun === true) {
            showTrials(context, [await trying.tryTakingBack(migration, postgres)]);
            continue;
          }
          const { record, done } = await withBar(context, migration, (running) =>
            taking.takeBackDataMigration(migration, running),
          );
          context.output.result({ name, state: record.state, undone: done }, () =>
            record.state === 'undone'
              ? `${name} is undone: ${done} changes were put back now.`
              : `${name} has not run.`,
          );
        }
      }),
    );
};

/** `treadle migrate data`. */
export const addMigrateData = (migrate: Command, run: RunCommand): void => {
  const data = migrate
    .command('data')
    .description('data migrations: changes of what lies in the tables, in batches, beside the running app');
  addStatus(data, run);
  addUp(data, run);
  addDown(data, run);
};
