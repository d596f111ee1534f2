import { processConfig } from '../lib/config/process-config.ts';
import { createLog } from '../lib/log/create-log.ts';
import type { Database } from '../lib/postgres/open-database.ts';
import type { Platform } from '../platform.ts';
import type { CommandContext } from './command-context.ts';
import { createOutput } from './output.ts';

export interface OpenContext {
  readonly context: CommandContext;
  /** Closes what the command opened, the last first. */
  readonly close: () => Promise<void>;
}

export interface OpenContextOptions {
  readonly json: boolean;
  readonly signal: AbortSignal;
  readonly fail: () => void;
}

/**
 * Reads the configuration; everything else is opened when the command asks for it. A command logs warnings and errors
 * only, unless LOG_LEVEL says otherwise.
 * @throws AppError CONFIGURATION_ERROR.
 */
export const openContext = (options: OpenContextOptions): OpenContext => {
  const config = processConfig({ LOG_LEVEL: 'warn' });
  const log = createLog({ level: config.logLevel });
  const closers: (() => Promise<void>)[] = [];
  let database: Promise<Database> | undefined;
  let platform: Promise<Platform> | undefined;

  const openDatabase = async (): Promise<Database> => {
    const opening = await import('../lib/postgres/open-database.ts');
    const opened = await opening.openDatabase(config, log, { mode: 'attach-or-own', signal: options.signal });
    closers.push(() => opened.close());
    return opened;
  };
  const openPlatform = async (): Promise<Platform> => {
    const [{ createPlatform }, { openTracing }] = await Promise.all([
      import('../platform.ts'),
      import('../lib/telemetry/open-tracing.ts'),
    ]);
    const tracing = await openTracing(config, log);
    closers.push(() => tracing.close());
    database ??= openDatabase();
    const created = await createPlatform(config, log, await database);
    closers.push(() => created.close());
    return created;
  };
  return {
    context: {
      config,
      log,
      output: createOutput(options.json),
      signal: options.signal,
      fail: options.fail,
      database: () => (database ??= openDatabase()),
      platform: () => (platform ??= openPlatform()),
    },
    close: async () => {
      for (const close of closers.toReversed()) await close();
    },
  };
};
