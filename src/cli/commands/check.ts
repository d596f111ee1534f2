import type { UnknownVariable } from '../../lib/config/unknown-variables.ts';
import { properties } from '../../lib/terminal/table.ts';
import type { AddCommand } from '../add-command.ts';
import type { InstallationCheck } from '../check-installation.ts';

export const addCheck: AddCommand = (program, run) => {
  program
    .command('check')
    .description('validate the configuration and connect to the servers it names; starts and changes nothing')
    .action(
      run(async ({ log, output, fail }) => {
        const { processConfig, processUnknownVariables } = await import('../../lib/config/process-config.ts');
        const config = processConfig();
        const { checkInstallation } = await import('../check-installation.ts');
        const { describeConfig } = await import('../../lib/config/describe-config.ts');
        const checks = [...checkVariables(processUnknownVariables()), ...(await checkInstallation(config, log))];
        const ok = checks.every((check) => check.status !== 'failed');
        const variables = describeConfig(config);
        output.result({ ok, checks, variables }, () =>
          [
            properties(Object.entries(variables)),
            '',
            ...checks.map(({ name, status, detail }) => `${marks[status]} ${name}: ${detail}`),
          ].join('\n'),
        );
        if (!ok) fail();
      }),
    );
};

const marks = { ok: 'ok     ', warning: 'WARNING', absent: 'not set', unknown: 'unknown', failed: 'FAILED ' } as const;

const checkVariables = (unknown: readonly UnknownVariable[]): readonly InstallationCheck[] =>
  unknown.map(({ name, meant }) => ({
    name,
    status: 'unknown',
    detail:
      meant === undefined ? 'Treadle reads no such variable' : `Treadle reads no such variable; did you mean ${meant}?`,
  }));
