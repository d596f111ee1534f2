import { Option, type Command } from 'commander';
import type { ScheduleInput } from '../../queues/ports.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { jsonObject, type JsonObject } from '../arguments.ts';
import { table } from '../../lib/terminal/table.ts';

interface SetOptions {
  readonly job: string;
  readonly cron: string;
  readonly payload?: JsonObject;
  readonly options?: JsonObject;
  readonly timeZone?: string;
  readonly misfire?: ScheduleInput['misfire'];
  readonly paused?: boolean;
}

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
              { title: 'cron', value: (row) => row.cron },
              { title: 'time zone', value: (row) => row.timeZone },
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

const addSet = (schedules: Command, run: RunCommand): void => {
  schedules
    .command('set')
    .description('make a schedule, or replace the one of that name')
    .argument('<name>', 'its name')
    .requiredOption('--job <name>', 'the job it makes')
    .requiredOption('--cron <expression>', 'when, such as "0 2 * * *"; six fields begin with seconds')
    .option('--payload <json>', "the job's payload", jsonObject)
    .option('--options <json>', "the job's options, such as '{\"priority\": 7}'", jsonObject)
    .option('--time-zone <zone>', 'an IANA name such as Europe/Berlin; UTC by default')
    .addOption(
      new Option('--misfire <policy>', 'what becomes of runs missed while no scheduler ran').choices([
        'skip',
        'once',
        'all',
      ]),
    )
    .option('--paused', 'keep it, but do not run it')
    .option('--no-paused', 'run it again')
    .action(
      run(async ({ platform, output }, name: string, { job, ...rest }: SetOptions) => {
        const schedule = await (await platform()).schedules.put(name, { jobName: job, ...rest });
        output.result(schedule, () =>
          schedule.paused
            ? `Schedule ${schedule.name} is set, and paused.`
            : `Schedule ${schedule.name} is set; it runs next at ${schedule.nextFireAt?.toISOString() ?? 'no time'}.`,
        );
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

export const addSchedules: AddCommand = (program, run) => {
  const schedules = program.command('schedules').description('jobs that are made again and again');
  addList(schedules, run);
  addSet(schedules, run);
  addRemove(schedules, run);
};
