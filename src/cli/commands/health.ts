import type { AddCommand } from '../add-command.ts';
import { durationText } from '../../lib/terminal/duration-text.ts';
import { cellText, table } from '../../lib/terminal/table.ts';

export const addHealth: AddCommand = (program, run) => {
  program
    .command('health')
    .description(
      'show whether the database answers, which processes run and what the queues hold; exit code 1 when not healthy',
    )
    .action(
      run(async ({ platform, output, fail }) => {
        const { examineHealth } = await import('../examine-health.ts');
        const health = await examineHealth(await platform());
        output.result(health, () =>
          [
            `${health.status}: ${health.reasons.length > 0 ? health.reasons.join('; ') : health.processes.length > 0 ? 'nothing is wrong' : 'nothing waits, and no process runs'}`,
            `postgres ${health.postgres.version}, answers in ${durationText(health.postgres.responseMs)}`,
            '',
            table(
              health.processes,
              [
                { title: 'process', value: (row) => row.id },
                { title: 'roles', value: (row) => row.roles.join(' ') },
                { title: 'started', value: (row) => row.startedAt },
                { title: 'last seen', value: (row) => `${durationText(row.silentMs)} ago` },
              ],
              'No process runs: treadle dev starts everything, treadle start <role> one.',
            ),
            '',
            table(
              health.queues,
              [
                { title: 'queue', value: (row) => (row.paused ? `${row.name} (paused)` : row.name) },
                { title: 'waiting', value: (row) => row.counts.accepted + row.counts.waiting, align: 'right' },
                { title: 'delayed', value: (row) => row.counts.delayed, align: 'right' },
                { title: 'active', value: (row) => row.counts.active, align: 'right' },
                { title: 'completed', value: (row) => row.counts.completed, align: 'right' },
                { title: 'dead', value: (row) => row.counts.dead, align: 'right' },
                { title: 'oldest', value: (row) => age(row.oldestWaitingMs), align: 'right' },
                { title: 'wait p50', value: (row) => age(row.latencyMs.p50), align: 'right' },
                { title: 'wait p99', value: (row) => age(row.latencyMs.p99), align: 'right' },
              ],
              'There are no queues.',
            ),
          ].join('\n'),
        );
        if (health.status !== 'healthy') fail();
      }),
    );
};

const age = (ms: number | null): string => (ms === null ? cellText(null) : durationText(ms));
