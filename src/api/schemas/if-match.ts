import { z } from 'zod';
import { validationError } from '../../lib/errors/app-error.ts';

/** `If-Match` as a version, or a revision: a number, bare or quoted as an entity tag. */
export const ifMatchHeaders = z.looseObject({
  'if-match': z
    .string({ error: 'is needed: the version that is to be changed' })
    .regex(/^(?:"\d{1,9}"|\d{1,9})$/, 'must be the version that is to be changed, as 3 or "3"')
    .describe('The version that is to be changed; another one by now is a 409'),
});

export const versionOf = (ifMatch: string): number => {
  const version = Number(ifMatch.replaceAll('"', ''));
  if (version >= 1) return version;
  throw validationError('the headers', [{ path: 'if-match', message: 'must be 1 or more' }]);
};

export const etagOf = (version: number): string => `"${version}"`;
