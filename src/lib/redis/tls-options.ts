import fs from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';

/** PEM files for connections with TLS; what is undefined is left to Node.js (its own list of authorities, no client certificate). */
export interface RedisTlsFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const variables = { ca: 'REDIS_CA', cert: 'REDIS_CERT', key: 'REDIS_KEY' } as const;

const readPem = async (variable: string, file: string): Promise<string> => {
  const refuse = (message: string, cause?: unknown): never => {
    throw new AppError(
      'CONFIGURATION_ERROR',
      `${variable}: ${message}`,
      { faults: [{ variable, message }] },
      cause === undefined ? {} : { cause },
    );
  };
  const text = await fs
    .readFile(file, 'utf8')
    .catch((error: unknown) => refuse(`the file cannot be read (${codeOf(error) ?? 'unknown error'})`, error));
  return text.includes('-----BEGIN ') ? text : refuse('the file holds no PEM text (-----BEGIN …-----)');
};

/**
 * Reads the files that are named.
 * @throws AppError CONFIGURATION_ERROR naming the variable of a file that cannot be read or is not PEM.
 */
export const readTlsOptions = async (files: RedisTlsFiles): Promise<ConnectionOptions> => {
  const options: ConnectionOptions = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const file = files[name];
    if (file !== undefined) options[name] = await readPem(variables[name], file);
  }
  return options;
};
