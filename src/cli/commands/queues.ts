import { Option, type Command } from 'commander';
import { durationText } from '../../lib/terminal/duration-text.ts';
import { cellText, table } from '../../lib/terminal/table.ts';
import type { Rate, TenantLimit } from '../../queues/limits/limit.ts';
import type { LimitsOfQueue, LimitTarget } from '../../queues/limits/limit-store.ts';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { rate, wholeNumber } from '../arguments.ts';

const age = (ms: number | null): string => (ms === null ? cellText(null) : durationText(ms));

const addList = (queues: Command, run: RunCommand): void => {
  queues
    .command('list')
    .description('list queues: what they hold, how old the oldest waiting job is, how much they do')
    .action(
      run(async ({ platform, output }) => {
        const all = await (await platform()).queues.list();
        output.result({ items: all }, () =>
          table(
            all,
            [
              { title: 'queue', value: (row) => (row.paused ? `${row.name} (paused)` : row.name) },
              { title: 'waiting', value: (row) => row.counts.accepted + row.counts.waiting, align: 'right' },
              { title: 'delayed', value: (row) => row.counts.delayed, align: 'right' },
              { title: 'active', value: (row) => row.counts.active, align: 'right' },
              { title: 'dead', value: (row) => row.counts.dead, align: 'right' },
              { title: 'oldest', value: (row) => age(row.oldestWaitingMs), align: 'right' },
              { title: 'a minute', value: (row) => Math.round(row.completedPerMinute * 10) / 10, align: 'right' },
              { title: 'wait p99', value: (row) => age(row.latencyMs.p99), align: 'right' },
            ],
            'There are no queues.',
          ),
        );
        if (all.some(({ finishedEstimated }) => finishedEstimated))
          output.note('There are so many finished jobs that their counts are estimates.');
      }),
    );
};

const verbs = [
  {
    name: 'pause',
    description: 'start no more jobs of a queue, in all processes; running ones finish',
    past: 'paused',
  },
  { name: 'resume', description: 'start jobs of a queue again', past: 'at work again' },
] as const;

const addVerbs = (queues: Command, run: RunCommand): void => {
  for (const { name, description, past } of verbs) {
    queues
      .command(name)
      .description(description)
      .argument('<queue>', "the queue's name")
      .action(
        run(async ({ platform, output }, queue: string) => {
          await (await platform()).queues[name](queue);
          output.result({ name: queue, paused: name === 'pause' }, () => `The queue ${queue} is ${past}.`);
        }),
      );
  }
};

interface LimitFlags {
  readonly tenant?: string;
  readonly eachTenant?: boolean;
  readonly concurrency?: number;
  readonly rate?: Rate;
  readonly weight?: number;
  readonly reset?: boolean;
}

const limitText = ({ concurrency, rate: given, weight }: TenantLimit): string =>
  [
    ...(concurrency === undefined ? [] : [`${concurrency} at once`]),
    ...(given === undefined ? [] : [`${given.max} in ${durationText(given.perMs)}`]),
    ...(weight === undefined ? [] : [`weight ${weight}`]),
  ].join(', ') || 'none';

const limitsText = ({ queue, tenants, tenant }: LimitsOfQueue): string =>
  table(
    [
      { of: 'the queue', limit: limitText(queue) },
      { of: 'each tenant', limit: limitText(tenants) },
      ...tenant.map((own) => ({ of: `tenant ${own.tenant}`, limit: limitText(own) })),
    ],
    [
      { title: 'of', value: (row) => row.of },
      { title: 'limit', value: (row) => row.limit },
    ],
    '',
  );

const addLimits = (queues: Command, run: RunCommand): void => {
  queues
    .command('limit')
    .description('show the limits of a queue, or set one: of the queue, of each of its tenants, or of one tenant')
    .argument('<queue>', "the queue's name")
    .option('--each-tenant', 'of every tenant without a limit of its own')
    .addOption(new Option('--tenant <tenant>', 'of this tenant').conflicts('eachTenant'))
    .option('--concurrency <count>', 'jobs at once, over all workers', wholeNumber(1, 1_000_000))
    .option('--rate <jobs/seconds>', 'jobs that begin in so many seconds, spread over them (600/60)', rate)
    .option('--weight <number>', 'turns of a tenant beside others, 1 by default', Number)
    .addOption(new Option('--reset', 'back to what the code says').conflicts(['concurrency', 'rate', 'weight']))
    .addHelpText('after', '\nWhat is set replaces the limit as a whole: what is not given is not limited.')
    .action(
      run(async ({ platform, output }, queue: string, flags: LimitFlags) => {
        const { limits } = await platform();
        const { tenant, eachTenant, reset, ...limit } = flags;
        const whole: LimitTarget = { scope: eachTenant ? 'tenants' : 'queue' };
        const target: LimitTarget = tenant === undefined ? whole : { scope: 'tenant', tenant };
        if (reset === true || Object.keys(limit).length > 0) await limits.set(queue, target, reset ? null : limit);
        const found = await limits.find(queue);
        output.result(found, () => limitsText(found));
      }),
    );
};

export const addQueues: AddCommand = (program, run) => {
  const queues = program.command('queues').description('look at queues, stop and start them, limit them');
  addList(queues, run);
  addVerbs(queues, run);
  addLimits(queues, run);
};
