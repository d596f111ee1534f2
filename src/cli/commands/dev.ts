import type { AddCommand } from '../add-command.ts';

interface Options {
  readonly once?: true;
  readonly import?: string;
}

export const addDev: AddCommand = (program, _run, serve) => {
  program
    .command('dev')
    .description('run everything in this process, with the embedded Postgres unless DATABASE_URL is set')
    .option('--once', 'end when the first run is done, with its exit code')
    .option('--import <folder>', 'import this folder, instead of the READMEs of the installed packages')
    .addHelpText(
      'after',
      `
The first run imports the README of every installed npm package into the workspace "packages", embeds them, and prints
what ran and what a search finds. With TREADLE_JOBS it does so only with --once or --import.`,
    )
    .action(
      serve(async ({ config, log, onFailure }, options: Options) => {
        const { runDev } = await import('../../workers/dev.ts');
        await runDev(config, log, { once: options.once === true, importFolder: options.import, onFailure });
      }),
    );
};
