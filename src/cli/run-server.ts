import { processConfig } from '../lib/config/process-config.ts';
import { createLog } from '../lib/log/create-log.ts';
import { reportError } from '../lib/terminal/report-error.ts';
import type { ServerContext } from './add-command.ts';

/**
 * Reads the configuration and starts what `action` starts; it goes on after this has answered. Answers the exit code for
 * a process that ends by itself. Never throws.
 */
export const runServer = async (json: boolean, action: (context: ServerContext) => Promise<void>): Promise<number> => {
  let debug = false;
  const onFailure = (error: unknown): void => reportError(error, { json, debug });
  try {
    const config = processConfig();
    const log = createLog({ level: config.logLevel });
    debug = log.isLevelEnabled('debug');
    await action({ config, log, onFailure });
    return 0;
  } catch (error) {
    onFailure(error);
    return 1;
  }
};
