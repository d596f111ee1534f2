import os from 'node:os';
import { withTimeout } from '../lib/batching/with-timeout.ts';
import type { Role } from '../lib/config/load-config.ts';
import type { Platform } from '../platform.ts';
import type { RunningRole } from './running-role.ts';
import { queuesOf } from './worker.ts';

const everyMs = 5_000;
const farewellMs = 2_000;

const beat = `
  INSERT INTO treadle.processes AS known (id, roles, host, pid, queues) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (id) DO UPDATE SET beat_at = now()`;

/** Keeps a row in treadle.processes that says which roles and queues this process has, and that it lives. */
export const startProcessBeat = async (platform: Platform, roles: readonly Role[]): Promise<RunningRole> => {
  const { postgres, log, processId } = platform;
  const queues = roles.includes('worker')
    ? Object.fromEntries(queuesOf(platform).map(({ name, concurrency }) => [name, concurrency]))
    : {};
  const loop = platform.loops.watch('process', 6 * everyMs);
  const write = async (): Promise<void> => {
    await postgres.query(beat, [processId, [...roles], os.hostname(), process.pid, JSON.stringify(queues)]);
  };
  await write();
  await postgres.query(`DELETE FROM treadle.processes WHERE beat_at < now() - interval '1 hour'`);
  let writing: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    loop.beat();
    writing = write().catch((error: unknown) => log.warn({ event: 'process.beat-failed', err: error }));
  }, everyMs);
  return {
    close: async () => {
      clearInterval(timer);
      loop.end();
      await writing;
      await withTimeout(
        postgres.query('DELETE FROM treadle.processes WHERE id = $1', [processId]),
        farewellMs,
        'Postgres',
      ).catch((error: unknown) => log.warn({ event: 'process.farewell-failed', err: error }));
    },
  };
};
