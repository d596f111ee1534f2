import { Option, type Command } from 'commander';
import type { Schedule, ScheduleInput } from '../../queues/ports.ts';
import { durationText } from '../../lib/terminal/duration-text.ts';
import { cellText, table } from '../../lib/terminal/table.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { jsonObject, delaySeconds, wholeNumber, type JsonObject } from '../arguments.ts';

interface PutOptions extends Pick<ScheduleInput, 'cron' | 'timeZone' | 'at' | 'misfire' | 'paused'> {
  readonly job: string;
  readonly payload?: JsonObject;
  readonly options?: JsonObject;
  readonly every?: number;
  readonly anchor?: string;
}

const timesText = ({ cron, everyMs, at }: Schedule): string =>
  cron ?? (everyMs === null ? `at ${cellText(at)}` : `every ${everyMs / 1_000} s`);

const nextText = ({ paused, nextFireAt }: Schedule): string => {
  if (paused) return 'it is paused';
  return nextFireAt === null ? 'no fire time is left' : `it runs next at ${nextFireAt.toISOString()}`;
};

const addList = (schedules: Command, run: RunCommand): void => {
  schedules
    .command('list')
    .description('list schedules, with their next run')
    .action(
      run(async ({ platform, output }) => {
        const all = await (await platform()).schedules.list();
        output.result({ items: all }, () =>
          table(
            all,
            [
              { title: 'name', value: (row) => row.name },
              { title: 'job', value: (row) => row.jobName },
              { title: 'times', value: timesText },
              { title: 'time zone', value: (row) => (row.cron === null ? null : row.timeZone) },
              { title: 'misfire', value: (row) => row.misfire },
              { title: 'last', value: (row) => row.lastFireAt },
              { title: 'next', value: (row) => (row.paused ? 'paused' : row.nextFireAt) },
            ],
            'There are no schedules.',
          ),
        );
      }),
    );
};

const addPut = (schedules: Command, run: RunCommand): void => {
  schedules
    .command('put')
    .description('make a schedule, or replace the one of that name')
    .argument('<name>', 'its name')
    .requiredOption('--job <name>', 'the job it makes')
    .addOption(
      new Option('--cron <expression>', 'when, such as "0 2 * * *"; six fields begin with seconds').conflicts([
        'every',
        'at',
      ]),
    )
    .option('--time-zone <zone>', 'of --cron: an IANA name such as Europe/Berlin; UTC by default')
    .addOption(
      new Option('--every <seconds>', 'instead of --cron: once in so many seconds, from 1 to a year')
        .argParser(delaySeconds)
        .conflicts('at'),
    )
    .option('--anchor <time>', 'from when --every counts, such as 2026-01-31T09:00:00Z; by default from now')
    .option('--at <time>', 'instead of --cron: once, at a time such as 2026-01-31T09:00:00Z')
    .option('--payload <json>', "the job's payload", jsonObject)
    .option('--options <json>', "the job's options, such as '{\"priority\": 7}'", jsonObject)
    .addOption(
      new Option('--misfire <policy>', 'which of the runs that were missed while no scheduler ran are made up for')
        .choices(['skip', 'once', 'all'])
        .default('once', 'once, the latest'),
    )
    .option('--paused', 'keep it, but do not run it')
    .option('--no-paused', 'run it again')
    .action(
      run(async ({ platform, output }, name: string, { job, every, anchor, ...rest }: PutOptions) => {
        const input = { jobName: job, everyMs: every, anchorAt: anchor, ...rest };
        const schedule = await (await platform()).schedules.put(name, input);
        output.result(schedule, () => `Schedule ${schedule.name} is set; ${nextText(schedule)}.`);
      }),
    );
};

const addRemove = (schedules: Command, run: RunCommand): void => {
  schedules
    .command('remove')
    .description('remove a schedule; jobs it made already stay')
    .argument('<name>', 'its name')
    .action(
      run(async ({ platform, output }, name: string) => {
        await (await platform()).schedules.remove(name);
        output.result({ removed: name }, () => `Schedule ${name} is removed.`);
      }),
    );
};

const verbs = [
  { name: 'pause', description: 'keep a schedule, but do not run it', past: 'paused' },
  {
    name: 'resume',
    description: 'run a paused schedule again; times that came meanwhile are not made up for',
    past: 'resumed',
  },
] as const;

const addVerbs = (schedules: Command, run: RunCommand): void => {
  for (const { name: verb, description, past } of verbs) {
    schedules
      .command(verb)
      .description(description)
      .argument('<name>', 'its name')
      .action(
        run(async ({ platform, output }, name: string) => {
          const schedule = await (await platform()).schedules[verb](name);
          output.result(schedule, () =>
            schedule.paused ? `Schedule ${name} is paused.` : `Schedule ${name} is ${past}; ${nextText(schedule)}.`,
          );
        }),
      );
  }
  schedules
    .command('run')
    .description("make a schedule's job now, also while it is paused; its other times stay as they are")
    .argument('<name>', 'its name')
    .action(
      run(async ({ platform, output }, name: string) => {
        const job = await (await platform()).schedules.run(name);
        output.result(job, () => `Accepted job ${job.id} (${job.name}, queue ${job.queue}, ${job.state}).`);
      }),
    );
};

const addNext = (schedules: Command, run: RunCommand): void => {
  schedules
    .command('next')
    .description('list the next fire times of a schedule; none while it is paused')
    .argument('<name>', 'its name')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 5)
    .action(
      run(async ({ platform, output }, name: string, { limit }: { readonly limit: number }) => {
        const times = await (await platform()).schedules.nextFires(name, limit);
        const items = times.map((fireAt) => ({ fireAt }));
        output.result({ items }, () =>
          times.length === 0
            ? 'It is paused, or no fire time is left.'
            : times.map((time) => cellText(time)).join('\n'),
        );
      }),
    );
};

const addHistory = (schedules: Command, run: RunCommand): void => {
  schedules
    .command('history')
    .description('list what a schedule did, the latest first')
    .argument('<name>', 'its name')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 20)
    .option('--cursor <cursor>', 'where the page before ended')
    .action(
      run(async ({ platform, output }, name: string, request: { readonly limit: number; readonly cursor?: string }) => {
        const page = await (await platform()).schedules.fires(name, request);
        output.result(page, () =>
          table(
            page.items,
            [
              { title: 'time', value: (row) => row.fireAt },
              { title: 'late', value: (row) => (row.byHand ? 'by hand' : durationText(row.lateMs)) },
              { title: 'job', value: (row) => row.jobId },
              { title: 'state', value: (row) => (row.skipped ? 'skipped' : row.jobState) },
            ],
            'It has not fired yet.',
          ),
        );
        if (page.nextCursor !== null) output.note(`There are more: --cursor ${page.nextCursor}`);
      }),
    );
};

export const addSchedules: AddCommand = (program, run) => {
  const schedules = program.command('schedules').description('jobs that are made by the clock');
  for (const add of [addList, addPut, addRemove, addVerbs, addNext, addHistory]) add(schedules, run);
};
