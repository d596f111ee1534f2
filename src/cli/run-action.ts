import type { CommandContext } from './command-context.ts';
import { watchInterruption } from './interruption.ts';
import { openContext } from './open-context.ts';
import { reportError } from '../lib/terminal/report-error.ts';

/** Runs what a command does, closes what it opened, reports what it throws, and answers the exit code. Never throws. */
export const runAction = async (json: boolean, action: (context: CommandContext) => Promise<void>): Promise<number> => {
  const interruption = watchInterruption();
  let exitCode = 0;
  let debug = false;
  const fail = (): void => {
    exitCode = 1;
  };
  try {
    const { context, close } = openContext({ json, signal: interruption.signal, fail });
    debug = context.log.isLevelEnabled('debug');
    try {
      await action(context);
    } finally {
      await close();
    }
  } catch (error) {
    fail();
    if (!interruption.signal.aborted) reportError(error, { json, debug });
  } finally {
    interruption.close();
  }
  return interruption.exitCode() ?? exitCode;
};
