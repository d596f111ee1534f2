import { AppError } from '../lib/errors/app-error.ts';

export interface Interruption {
  /** Aborted with an INTERRUPTED error at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** The exit code a shell expects of the signal that came; undefined when none did. */
  exitCode(): number | undefined;
  close(): void;
}

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** A terminal and npm both pass on one Ctrl-C: the same wish within this time is one. */
const sameWishMs = 1_000;

/** Lets a command end by itself at the first signal; a second one, later than a second, ends the process at once. */
export const watchInterruption = (): Interruption => {
  const controller = new AbortController();
  let cameAt = 0;
  let exitCode: number | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (exitCode !== undefined && Date.now() - cameAt > sameWishMs) process.exit(exitCode);
    if (exitCode !== undefined) return;
    cameAt = Date.now();
    exitCode = name === 'SIGTERM' || name === 'SIGHUP' ? exitCodes[name] : exitCodes.SIGINT;
    controller.abort(new AppError('INTERRUPTED', 'interrupted', {}));
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    close: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
};
