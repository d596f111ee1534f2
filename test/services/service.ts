import { spawnSync } from 'node:child_process';

/** A server that tests may use, and how it was found. */
export interface Service {
  readonly url: string;
  /** For people: where it came from. */
  readonly origin: string;
  stop(): Promise<void>;
}

/** Why there is no server, and the line that would provide one. */
export interface MissingService {
  readonly missing: string;
}

const prefix = ['setpriv', '--pdeathsig', 'INT', '--'];
let works: boolean | undefined;

/** A command prefix under which a server ends with us, even when we are killed; empty where the system has none. */
export const endsWithParent = (): readonly string[] => {
  const [program = '', ...args] = prefix;
  works ??= spawnSync(program, [...args, 'true'], { stdio: 'ignore' }).status === 0;
  return works ? prefix : [];
};
