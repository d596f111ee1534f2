import type { Platform } from '../platform.ts';
import type { RunningRole } from './running-role.ts';

export interface RunningApi extends RunningRole {
  /** Where it listens. */
  readonly url: string;
}

/** Beside what it serves; a failure leaves caches as cold as they were. */
const warm = async ({ cacheWarming, log }: Platform, signal: AbortSignal): Promise<void> => {
  try {
    await cacheWarming.warmActive({ signal });
  } catch (error) {
    if (!signal.aborted) log.warn({ event: 'cache.warming-failed', err: error });
  }
};

/**
 * Serves the HTTP API, its pages and Bull Board. What only the server needs is loaded here.
 * @throws AppError CONFIGURATION_ERROR naming the variable, when the address or port cannot be used, or would be open to
 * others while there are no keys.
 */
export const startApi = async (platform: Platform): Promise<RunningApi> => {
  const { createServer } = await import('../api/server.ts');
  const server = await createServer(platform);
  try {
    const url = await server.listen();
    platform.log.info({ event: 'api.listening', url });
    platform.databaseHealth.startContinuousCheck();
    const closing = new AbortController();
    const warming = platform.config.cacheWarmOnStart ? warm(platform, closing.signal) : Promise.resolve();
    return {
      url,
      close: async () => {
        closing.abort();
        await warming;
        await server.close();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
};
