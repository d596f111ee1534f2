import { Option, type Command } from 'commander';
import { jobStates, type JobState } from '../../queues/ledger/job-record.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { secondsOption, uuid, wholeNumber } from '../arguments.ts';

interface ListOptions {
  readonly queue?: string;
  readonly state?: JobState;
  readonly name?: string;
  readonly tag?: string;
  readonly tenant?: string;
  readonly limit: number;
  readonly cursor?: string;
}

const addList = (jobs: Command, run: RunCommand): void => {
  jobs
    .command('list')
    .description('list jobs, the newest first')
    .option('--queue <queue>', 'of this queue')
    .addOption(new Option('--state <state>', 'in this state').choices(jobStates))
    .option('--name <name>', 'of this name')
    .option('--tag <tag>', 'with this tag')
    .option('--tenant <tenant>', 'of this tenant')
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 20)
    .option('--cursor <cursor>', 'where the page before ended')
    .action(
      run(async ({ platform, output }, { limit, cursor, ...filter }: ListOptions) => {
        const page = await (await platform()).jobs.list(filter, { limit, cursor });
        const { jobTable } = await import('../job-text.ts');
        output.result(page, () => jobTable(page.items, 'There are no such jobs.'));
        if (page.nextCursor !== null) output.note(`There are more: --cursor ${page.nextCursor}`);
      }),
    );
};

const addShow = (jobs: Command, run: RunCommand): void => {
  jobs
    .command('show')
    .description('show one job: state, progress, failed attempts, result')
    .argument('<id>', "the job's id", uuid)
    .action(
      run(async ({ platform, output }, id: string) => {
        const job = await (await platform()).jobs.find(id);
        const { notFound } = await import('../../lib/errors/app-error.ts');
        if (!job) throw notFound('job', id);
        const { jobText } = await import('../job-text.ts');
        output.result(job, () => jobText(job));
      }),
    );
};

const verbs = [
  { name: 'cancel', description: "end an open job; a running one's signal is aborted", past: 'asked to end' },
  {
    name: 'retry',
    description: 'run a dead or cancelled job again, or one that waits for its next attempt, now',
    past: 'put back to work',
  },
  { name: 'promote', description: 'run a delayed job now', past: 'made due' },
] as const;

const addVerbs = (jobs: Command, run: RunCommand): void => {
  for (const { name, description, past } of verbs) {
    jobs
      .command(name)
      .description(description)
      .argument('<id>', "the job's id", uuid)
      .action(
        run(async ({ platform, output }, id: string) => {
          const job = await (await platform()).jobs[name](id);
          output.result(job, () => `Job ${job.id} (${job.name}) is ${past}; its state is ${job.state}.`);
        }),
      );
  }
};

const addWait = (jobs: Command, run: RunCommand): void => {
  jobs
    .command('wait')
    .description(
      'wait until a job has finished, with its progress on a terminal; exit code 1 when it did not complete, or not in time',
    )
    .argument('<id>', "the job's id", uuid)
    .addOption(secondsOption('--timeout <seconds>', 'how long to wait', 60))
    .action(
      run(async ({ platform, output, signal, fail }, id: string, { timeout }: { readonly timeout: number }) => {
        const { followJob } = await import('../follow-job.ts');
        const job = await followJob((await platform()).jobs, id, { timeoutMs: timeout, signal, output });
        signal.throwIfAborted();
        const { notFound } = await import('../../lib/errors/app-error.ts');
        if (!job) throw notFound('job', id);
        const { jobText } = await import('../job-text.ts');
        output.result(job, () => jobText(job));
        if (job.finishedAt === null) output.note(`The job has not finished in ${timeout / 1_000} s.`);
        if (job.state !== 'completed') fail();
      }),
    );
};

export const addJobs: AddCommand = (program, run) => {
  const jobs = program.command('jobs').description('look at jobs and act on them');
  addList(jobs, run);
  addShow(jobs, run);
  addVerbs(jobs, run);
  addWait(jobs, run);
};
