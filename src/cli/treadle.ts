import { CommanderError } from 'commander';
import type { RunCommand, RunServer } from './add-command.ts';
import { createProgram, withHelpOfGroups } from './program.ts';

const usageExitCode = 2;

/** `treadle … | head` ends the command quietly when the reader has seen enough. */
const endWithTheReader = (): void => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
};

/** Makes actions that open the command's context, and tell `end` the exit code. */
const createRunner =
  (json: boolean, end: (exitCode: number) => void): RunCommand =>
  (action) =>
  async (...given) => {
    const { runAction } = await import('./run-action.ts');
    end(await runAction(json, (context) => action(context, ...given)));
  };

const createServerRunner =
  (json: boolean, end: (exitCode: number) => void): RunServer =>
  (action) =>
  async (...given) => {
    const { runServer } = await import('./run-server.ts');
    end(await runServer(json, (context) => action(context, ...given)));
  };

/**
 * Runs the command line and answers the exit code: 0 done, 1 failed (the reason is on standard error), 2 wrong arguments,
 * 128 and the signal's number when interrupted.
 */
export const main = async (args: readonly string[]): Promise<number> => {
  endWithTheReader();
  const json = args.includes('--json');
  let exitCode = 0;
  const end = (code: number): void => {
    exitCode = code;
  };
  const program = createProgram(createRunner(json, end), createServerRunner(json, end), json);
  try {
    await program.parseAsync([...withHelpOfGroups(program, args)], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageExitCode;
    throw error;
  }
};
