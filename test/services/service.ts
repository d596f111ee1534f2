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

/** A command prefix under which a server ends with us, even when we are killed; Linux only. */
export const endsWithParent = (): readonly string[] =>
  process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'INT', '--'] : [];
