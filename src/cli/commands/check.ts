import type { AddCommand } from '../add-command.ts';

export const addCheck: AddCommand = (program, run) => {
  program
    .command('check')
    .description('validate the configuration and connect to the servers it names; starts and changes nothing')
    .action(
      run(async ({ log, output, fail }) => {
        const { processConfig } = await import('../../lib/config/process-config.ts');
        const config = processConfig();
        const { checkInstallation } = await import('../check-installation.ts');
        const { describeConfig } = await import('../../lib/config/describe-config.ts');
        const checks = await checkInstallation(config, log);
        const ok = checks.every((check) => check.status !== 'failed');
        output.result({ ok, checks, config: describeConfig(config) }, () =>
          [
            ...describeLines(describeConfig(config)),
            '',
            ...checks.map(({ name, status, detail }) => `${marks[status]} ${name}: ${detail}`),
          ].join('\n'),
        );
        if (!ok) fail();
      }),
    );
};

const marks = { ok: 'ok     ', absent: 'not set', failed: 'FAILED ' } as const;

const valueText = (value: unknown): string => {
  if (value === undefined || value === '') return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(valueText).join(', ');
  return typeof value === 'string' ? value : JSON.stringify(value);
};

/** The settings as lines of `group.name  value`. */
const describeLines = (value: object, prefix = ''): readonly string[] =>
  Object.entries(value).flatMap(([name, inner]: [string, unknown]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? describeLines(inner, path)
      : [`${path.padEnd(30)}  ${valueText(inner)}`];
  });
