import type { Platform } from '../platform.ts';
import type { RunningRole } from './running-role.ts';

export interface RunningApi extends RunningRole {
  /** Where it listens. */
  readonly url: string;
}

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
    return { url, close: () => server.close() };
  } catch (error) {
    await server.close();
    throw error;
  }
};
