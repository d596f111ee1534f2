import { Argument } from 'commander';
import type { Role } from '../../lib/config/load-config.ts';
import type { AddCommand } from '../add-command.ts';

const roles: readonly Role[] = ['api', 'worker', 'scheduler', 'replicator'];

export const addStart: AddCommand = (program, _run, serve) => {
  program
    .command('start')
    .description('run roles in this process, beside others: api, worker, scheduler, replicator')
    .addArgument(new Argument('<role...>', 'the roles to run').choices(roles))
    .addHelpText(
      'after',
      `
Without DATABASE_URL the roles use the embedded Postgres that another process (npm start, or treadle dev) runs.
The first signal ends them in order: running jobs finish, or are handed back within TREADLE_SHUTDOWN_GRACE_MS.`,
    )
    .action(
      serve(async ({ config, log, onFailure }, given: readonly Role[]) => {
        const { runRoles } = await import('../../workers/run-roles.ts');
        await runRoles(config, log, { roles: [...new Set(given)], database: 'attach', onFailure });
      }),
    );
};
