import type { Command } from 'commander';
import type { Config } from '../lib/config/load-config.ts';
import type { Log } from '../lib/log/create-log.ts';
import type { CommandContext } from './command-context.ts';

/** Makes a commander action of a function that gets the command's context before its arguments and options. */
export type RunCommand = <Args extends readonly unknown[]>(
  action: (context: CommandContext, ...args: Args) => Promise<void>,
) => (...args: Args) => Promise<void>;

/** What a command that runs roles works with. It ends by signals, with an exit code of its own. */
export interface ServerContext {
  readonly config: Config;
  readonly log: Log;
  /** Says on standard error what went wrong. */
  readonly onFailure: (error: unknown) => void;
}

/** Makes a commander action of a function that starts roles in this process. */
export type RunServer = <Args extends readonly unknown[]>(
  action: (context: ServerContext, ...args: Args) => Promise<void>,
) => (...args: Args) => Promise<void>;

/** What every file under `commands/` exports: adds its command to the program, and imports nothing heavy until it runs. */
export type AddCommand = (program: Command, run: RunCommand, serve: RunServer) => void;
