import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import { advisoryLocks, tryLock } from '../postgres/advisory-lock.ts';
import { connectDirect } from '../postgres/pool.ts';

const patienceMs = 300_000;
const lockTimeoutMs = 3_000;

/**
 * Runs `fn` on a connection of its own while no other process migrates this database; others wait their turn. Statements
 * give up a table lock after 3 s (SQLSTATE 55P03), so that a migration never blocks the traffic queueing behind it.
 * @throws AppError TIMEOUT when somebody else migrates for more than five minutes.
 */
export const withMigrationLock = async <T>(
  directUrl: string,
  log: Log,
  fn: (client: pg.Client) => Promise<T>,
): Promise<T> => {
  const client = await connectDirect(directUrl, 'treadle:migrations');
  client.on('error', (error) => log.warn({ event: 'migrations.connection-lost', err: error }));
  try {
    const startedAt = Date.now();
    for (let told = false; !(await tryLock(client, advisoryLocks.migrations)); await delay(100)) {
      if (!told) log.info({ event: 'migrations.waiting', reason: 'another process migrates this database' });
      told = true;
      if (Date.now() - startedAt > patienceMs) {
        throw new AppError('TIMEOUT', 'another process has been migrating this database for five minutes', {
          timeoutMs: patienceMs,
        });
      }
    }
    await client.query(`SET statement_timeout = 0; SET lock_timeout = ${lockTimeoutMs}`);
    // When we are killed, the server ends our statement too, where its system lets it notice.
    await client.query('SET client_connection_check_interval = 1000').catch(() => undefined);
    return await fn(client);
  } finally {
    await client.end();
  }
};

const lockAttempts = 20;

/** Tries a step again when it could not have a table's lock; traffic gets through in between. */
export const retryOnLockTimeout = async <T>(log: Log, step: string, fn: () => Promise<T>): Promise<T> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await fn();
    } catch (error) {
      if (codeOf(error) !== '55P03' || attempt === lockAttempts) throw error;
      log.warn({ event: 'migrations.lock-timeout', step, attempt });
      await delay(200 * attempt);
    }
  }
};
