import type { KeyService } from '../../domain/access/service.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { codeOf } from '../../lib/errors/classify.ts';
import { isLoopbackHost } from '../../lib/http/loopback.ts';

const refuse = (variable: string, message: string, cause?: unknown): AppError =>
  new AppError('CONFIGURATION_ERROR', `${variable} ${message}`, { faults: [{ variable, message }] }, { cause });

/**
 * Refuses to listen where others can reach it while there are no keys.
 * @throws AppError CONFIGURATION_ERROR naming TREADLE_HOST.
 */
export const checkBindAddress = async (host: string, keys: KeyService): Promise<void> => {
  if (isLoopbackHost(host) || (await keys.hasKeys())) return;
  throw refuse(
    'TREADLE_HOST',
    `is ${JSON.stringify(host)}, which others can reach, and there are no keys: make one with \`treadle keys create\`, set TREADLE_API_KEYS, or use 127.0.0.1`,
  );
};

/** What is wrong with an address that could not be bound, by the variable to change. */
export const bindFault = (
  error: unknown,
  { host, port }: { readonly host: string; readonly port: number },
): unknown => {
  const code = codeOf(error) ?? '';
  if (code === 'EADDRINUSE') return refuse('TREADLE_PORT', `is ${port}, which another process listens on`, error);
  if (code === 'EACCES') return refuse('TREADLE_PORT', `is ${port}, which this user may not listen on`, error);
  if (['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'].includes(code)) {
    return refuse('TREADLE_HOST', `is ${JSON.stringify(host)}, which is no address of this machine`, error);
  }
  return error;
};
