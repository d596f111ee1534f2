import { createRequire } from 'node:module';
import { Command } from 'commander';
import { z } from 'zod';
import type { RunCommand, RunServer } from './add-command.ts';
import { addCheck } from './commands/check.ts';
import { addDeadLetters } from './commands/dead-letters.ts';
import { addDev } from './commands/dev.ts';
import { addEnqueue } from './commands/enqueue.ts';
import { addHealth } from './commands/health.ts';
import { addImport } from './commands/import.ts';
import { addJobs } from './commands/jobs.ts';
import { addKeys } from './commands/keys.ts';
import { addMigrate } from './commands/migrate.ts';
import { addNodes } from './commands/nodes.ts';
import { addQueues } from './commands/queues.ts';
import { addRebuild } from './commands/rebuild.ts';
import { addSagas } from './commands/sagas.ts';
import { addSchedules } from './commands/schedules.ts';
import { addSearch } from './commands/search.ts';
import { addSeed } from './commands/seed.ts';
import { addStart } from './commands/start.ts';
import { addVerify } from './commands/verify.ts';

const manifest = z.object({ description: z.string(), version: z.string() });

const after = `
Configuration comes from environment variables (DATABASE_URL, REDIS_URL, TREADLE_DATA_DIR, …); "treadle check" prints it.
Without DATABASE_URL a command uses the embedded Postgres of the data folder, beside a running Treadle or alone.
Exit codes: 0 done, 1 failed, 2 wrong arguments.`;

/** Wrong arguments on one line, in the shape of every other error. */
const usageError = (text: string, json: boolean): string => {
  const message = text.replace(/^error: /, '').trim();
  return json
    ? `${JSON.stringify({ error: { code: 'VALIDATION_ERROR', message, details: { faults: [{ path: '', message }] } } })}\n`
    : `treadle: ${message}\n`;
};

/** Wrong arguments are followed by what to type. */
const showUsage = (command: Command, above: readonly string[]): void => {
  const words = [...above, command.name()];
  command.showHelpAfterError(`Type: ${words.join(' ')} ${command.usage()}\n(--help shows what can be given)`);
  for (const below of command.commands) showUsage(below, words);
};

/** The command line as it is run: what only names a group of commands asks for its help. */
export const withHelpOfGroups = (program: Command, args: readonly string[]): readonly string[] => {
  let command: Command | undefined = program;
  for (const word of args.filter((arg) => arg !== '--json')) {
    command = command?.commands.find((below) => below.name() === word);
  }
  return command && command.commands.length > 0 ? [...args, '--help'] : args;
};

/** The whole command line. Nothing is run before it is parsed. */
export const createProgram = (run: RunCommand, serve: RunServer, json: boolean): Command => {
  // As a module it would be compiled into the package a second time.
  const { description, version } = manifest.parse(createRequire(import.meta.url)('../../package.json'));
  const program = new Command('treadle')
    .description(description)
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('--json', 'print the result as one JSON object, and errors too')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (text, write) => write(usageError(text, json)) })
    .exitOverride()
    .addHelpText('after', after);

  program.commandsGroup('Run:');
  for (const add of [addDev, addStart]) add(program, run, serve);
  program.commandsGroup('Set up:');
  for (const add of [addCheck, addMigrate, addSeed, addKeys]) add(program, run, serve);
  program.commandsGroup('Documents:');
  for (const add of [addImport, addSearch, addRebuild, addVerify, addNodes]) add(program, run, serve);
  program.commandsGroup('Jobs:');
  for (const add of [addEnqueue, addJobs, addDeadLetters, addSchedules, addSagas, addQueues]) add(program, run, serve);
  program.commandsGroup('Look after it:');
  addHealth(program, run, serve);
  if (!json) showUsage(program, []);
  return program;
};
