import { resolveImportRoot } from '../domain/imports/find-files.ts';
import type { Config } from '../lib/config/load-config.ts';
import type { Log } from '../lib/log/create-log.ts';
import { firstRun } from './first-run.ts';
import { runRoles } from './run-roles.ts';

export interface DevOptions {
  /** End when the first run is done. */
  readonly once: boolean;
  /** A folder to import, instead of the installed packages' READMEs. */
  readonly importFolder?: string | undefined;
  /** Says on standard error why the start failed. */
  readonly onFailure: (error: unknown) => void;
}

const write = (text: string): void => void process.stdout.write(`${text}\n\n`);

/**
 * Runs every configured role in this process, and the first run when it has not been done.
 * @throws AppError VALIDATION_ERROR before anything starts, when there is nothing to import where it was told.
 */
export const runDev = async (
  config: Config,
  log: Log,
  { once, importFolder, onFailure }: DevOptions,
): Promise<void> => {
  if (importFolder !== undefined) await resolveImportRoot(importFolder);
  await runRoles(config, log, {
    roles: config.roles,
    database: 'own',
    onFailure,
    onReady: async (platform, url, signal) => {
      if (url !== undefined) write(`Treadle runs at ${url}: jobs on ${url}/board, the API on ${url}/docs.`);
      // An app's Treadle has documents of its own, if any.
      if (config.jobs.length > 0 && importFolder === undefined && !once) return undefined;
      const complete = await firstRun(platform, { importFolder, always: once, signal, write });
      return once ? (complete ? 0 : 1) : undefined;
    },
  });
};
