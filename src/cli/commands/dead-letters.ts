import { Option, type Command } from 'commander';
import type { PathFilter } from '../../lib/json/path-filter.ts';
import { openProgressBar } from '../../lib/terminal/progress-bar.ts';
import type { JobRecord } from '../../queues/ledger/job-record.ts';
import type { DeadLetterFilter } from '../../queues/ports.ts';
import type { CommandContext } from '../command-context.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { pathAndValue, several, time, uuid, wholeNumber } from '../arguments.ts';

interface FilterOptions {
  readonly id?: readonly string[];
  readonly queue?: string;
  readonly name?: string;
  readonly errorCode?: string;
  readonly tenant?: string;
  readonly tag?: string;
  readonly payload?: PathFilter;
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
  readonly rate?: number;
}

const toFilter = ({ id, queue, name, errorCode, tenant, tag, payload, from, to }: FilterOptions): DeadLetterFilter => ({
  ids: id,
  queue,
  name,
  errorCode,
  tenant,
  tag,
  payload,
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
    .option('--tenant <tenant>', 'of this tenant')
    .option('--tag <tag>', 'with this tag')
    .option(
      '--payload <path=value>',
      'whose payload holds this value, such as order.customerId=c7; may be given several times',
      pathAndValue,
    )
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

/** Puts them back by a job, and follows it. */
const redriveAtRate = async (context: CommandContext, filter: DeadLetterFilter, rate: number): Promise<void> => {
  const { redrive } = await import('../../jobs/maintenance/contract.ts');
  const { countWorkers } = await import('../../queues/relay/worker-count.ts');
  const { output, signal } = context;
  const { deadLetters, enqueuer, jobs, postgres } = await context.platform();
  const total = await deadLetters.count(filter);
  const { id, queue } = await enqueuer.enqueue(redrive, {
    filter: JSON.parse(JSON.stringify(filter)),
    ratePerSecond: rate,
  });
  if (!(await countWorkers(postgres)).get(queue)) {
    const text = `The job ${id} waits until a worker runs for the queue ${queue} (treadle start worker scheduler).`;
    output.result({ id }, () => text);
    return;
  }
  output.note(`The job ${id} puts ${total} dead letters back to work. It goes on when this command is interrupted.`);
  const bar = await openProgressBar('Redriving', 'dead letters', output);
  let last: JobRecord | undefined;
  try {
    for await (const { job } of jobs.watch(id, signal)) {
      last = job;
      bar.update(Math.round((job.progress?.fraction ?? 0) * total), total);
    }
  } finally {
    bar.stop();
  }
  if (last?.state !== 'completed') context.fail();
  output.result({ id, state: last?.state, result: last?.result }, () => `The job ${id} is ${last?.state}.`);
};

const addRedrive = (deadLetters: Command, run: RunCommand): void => {
  const command = withFilter(deadLetters.command('redrive').description('put dead letters back to work'))
    .option('--all', 'without a filter')
    .option('--limit <count>', 'at most so many, the oldest first', wholeNumber(1, 100_000), 1_000)
    .addOption(
      new Option('--rate <count>', 'so many a second, until none is left, by a job that this command follows')
        .argParser(wholeNumber(1, 10_000))
        .conflicts('limit'),
    );
  command.action(
    run(async (context, options: RedriveOptions) => {
      if (options.rate !== undefined) {
        await redriveAtRate(context, toFilter(options), options.rate);
        return;
      }
      const redriven = await (await context.platform()).deadLetters.redrive(toFilter(options), options.limit);
      context.output.result({ redriven }, () =>
        redriven === 1 ? 'One dead letter is back at work.' : `${redriven} dead letters are back at work.`,
      );
    }),
  );
  command.hook('preAction', () => {
    const { all, limit: _, rate: __, ...filter } = command.opts<RedriveOptions>();
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
