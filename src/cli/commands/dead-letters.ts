import type { Command } from 'commander';
import type { DeadLetterFilter } from '../../queues/ports.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { several, time, uuid, wholeNumber } from '../arguments.ts';

interface FilterOptions {
  readonly id?: readonly string[];
  readonly queue?: string;
  readonly name?: string;
  readonly errorCode?: string;
  readonly from?: Date;
  readonly to?: Date;
}

interface ListOptions extends FilterOptions {
  readonly limit: number;
  readonly cursor?: string;
}

interface RedriveOptions extends FilterOptions {
  readonly all?: true;
  readonly limit: number;
}

const toFilter = ({ id, queue, name, errorCode, from, to }: FilterOptions): DeadLetterFilter => ({
  ids: id,
  queue,
  name,
  errorCode,
  from,
  to,
});

const withFilter = (command: Command): Command =>
  command
    .option('--id <id>', 'this one; may be given several times', (text, given?: readonly string[]) =>
      several(uuid(text), given),
    )
    .option('--queue <queue>', 'of this queue')
    .option('--name <name>', 'of jobs of this name')
    .option('--error-code <code>', 'whose last error has this code')
    .option('--from <time>', 'that ended at this time or later', time)
    .option('--to <time>', 'that ended before this time', time);

const addList = (deadLetters: Command, run: RunCommand): void => {
  withFilter(deadLetters.command('list').description('list dead letters, the newest first'))
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 20)
    .option('--cursor <cursor>', 'where the page before ended')
    .action(
      run(async ({ platform, output }, options: ListOptions) => {
        const { limit, cursor } = options;
        const page = await (await platform()).deadLetters.list(toFilter(options), { limit, cursor });
        const { jobTable } = await import('../job-text.ts');
        output.result(page, () => jobTable(page.items, 'There are no such dead letters.'));
        if (page.nextCursor !== null) output.note(`There are more: --cursor ${page.nextCursor}`);
      }),
    );
};

const addRedrive = (deadLetters: Command, run: RunCommand): void => {
  const redrive = withFilter(deadLetters.command('redrive').description('put dead letters back to work'))
    .option('--all', 'without a filter')
    .option('--limit <count>', 'at most so many, the oldest first', wholeNumber(1, 100_000), 1_000);
  redrive.action(
    run(async ({ platform, output }, options: RedriveOptions) => {
      const redriven = await (await platform()).deadLetters.redrive(toFilter(options), options.limit);
      output.result({ redriven }, () =>
        redriven === 1 ? 'One dead letter is back at work.' : `${redriven} dead letters are back at work.`,
      );
    }),
  );
  redrive.hook('preAction', (command) => {
    const { all, limit: _, ...filter } = command.opts<RedriveOptions>();
    if (all !== true && Object.keys(filter).length === 0) {
      command.error('error: say which dead letters, or --all', { exitCode: 2 });
    }
  });
};

export const addDeadLetters: AddCommand = (program, run) => {
  const deadLetters = program
    .command('dead-letters')
    .description('jobs that failed for good: look at them, put them back to work');
  addList(deadLetters, run);
  addRedrive(deadLetters, run);
};
