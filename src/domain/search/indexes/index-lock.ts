import { tryIndexLock } from '../../../lib/postgres/advisory-lock.ts';
import type { Postgres } from '../../../lib/postgres/postgres.ts';

/** Does work on an index that nobody else does at the same time; undefined: somebody does. */
export const withIndexLock = async <T>(
  postgres: Postgres,
  index: string,
  work: () => Promise<T>,
): Promise<{ readonly done: T } | undefined> => {
  const client = await postgres.connectDirect('index');
  client.on('error', () => undefined);
  try {
    if (!(await tryIndexLock(client, index))) return undefined;
    return { done: await work() };
  } finally {
    await client.end();
  }
};
