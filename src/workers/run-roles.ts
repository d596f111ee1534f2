import { isEventConsumer } from '../domain/events/consumers/define-consumer.ts';
import { loadBuiltInHandlers } from '../jobs/built-in-jobs.ts';
import { builtInSchedules } from '../jobs/built-in-schedules.ts';
import type { Config, Role } from '../lib/config/load-config.ts';
import type { Log } from '../lib/log/create-log.ts';
import { openDatabase } from '../lib/postgres/open-database.ts';
import { openTracing } from '../lib/telemetry/open-tracing.ts';
import { Shutdown } from '../lib/shutdown/shutdown.ts';
import { createPlatform, type Platform } from '../platform.ts';
import { startProcessBeat } from './process-beat.ts';
import type { RunningRole } from './running-role.ts';

export interface RunRolesOptions {
  readonly roles: readonly Role[];
  /** `own` starts the embedded Postgres where no DATABASE_URL is set, `attach` uses the one that another process owns. */
  readonly database: 'own' | 'attach';
  /** Called when every role runs, with the URL of the API if that is one of them. Answers the exit code to end with, or nothing to go on. */
  readonly onReady?: (platform: Platform, url: string | undefined, signal: AbortSignal) => Promise<number | undefined>;
  /** Says on standard error why the start failed. */
  readonly onFailure: (error: unknown) => void;
}

const start: Readonly<Record<Role, (platform: Platform) => Promise<RunningRole & { readonly url?: string }>>> = {
  worker: async (platform) => {
    const [{ startWorker }, handlers] = await Promise.all([import('./worker.ts'), loadBuiltInHandlers()]);
    return startWorker(platform, {
      handlers: [...handlers, ...platform.app.handlers],
      consumers: platform.app.consumers.filter(isEventConsumer),
    });
  },
  scheduler: async (platform) => {
    const { startScheduler } = await import('./scheduler.ts');
    return startScheduler(platform, { schedules: [...builtInSchedules, ...platform.app.schedules] });
  },
  replicator: async (platform) => {
    const { startReplicator } = await import('./replicator.ts');
    return startReplicator(platform);
  },
  api: async (platform) => {
    const { startApi } = await import('./api.ts');
    return startApi(platform);
  },
};

/** Runs the roles in this process until a signal ends it; the process exits with 0 after an orderly end. */
export const runRoles = async (config: Config, log: Log, options: RunRolesOptions): Promise<void> => {
  const shutdown = new Shutdown({ log, graceMs: config.shutdownGraceMs });
  try {
    await shutdown.start(
      'tracing',
      () => openTracing(config, log),
      (tracing) => tracing.close(),
    );
    const database = await shutdown.start(
      'database',
      (signal) => openDatabase(config, log, { mode: options.database, signal }),
      (opened) => opened.close(),
    );
    const platform = await shutdown.start(
      'platform',
      () => createPlatform(config, log, database),
      (created) => created.close(),
    );
    const { host, healthPort } = config.http;
    if (healthPort !== undefined) {
      const [{ startHealthServer }, { KeyService }] = await Promise.all([
        import('./health-server.ts'),
        import('../domain/access/service.ts'),
      ]);
      const keys = new KeyService(platform.postgres, config.apiKeys);
      await shutdown.start(
        'health',
        () => startHealthServer({ ...platform, keys }, { host, port: healthPort }),
        (server) => server.close(),
      );
    }
    await shutdown.start(
      'process-beat',
      () => startProcessBeat(platform, options.roles),
      (beat) => beat.close(),
    );
    let url: string | undefined;
    // The API last: whoever can reach it can rely on the rest.
    for (const role of (['worker', 'scheduler', 'replicator', 'api'] as const).filter((name) =>
      options.roles.includes(name),
    )) {
      const running = await shutdown.start(
        role,
        () => start[role](platform),
        (started) => started.close(),
      );
      url = running.url ?? url;
    }
    const exitCode = await options.onReady?.(platform, url, shutdown.signal);
    if (exitCode !== undefined) shutdown.begin('finished', exitCode);
  } catch (error) {
    if (!shutdown.signal.aborted) {
      options.onFailure(error);
      shutdown.begin('start failed', 1);
    }
  }
};
