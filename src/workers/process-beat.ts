import os from 'node:os';
import { withTimeout } from '../lib/batching/with-timeout.ts';
import type { Role } from '../lib/config/load-config.ts';
import type { Platform } from '../platform.ts';
import type { RunningRole } from './running-role.ts';
import { queuesOf } from './worker.ts';

const everyMs = 5_000;
const farewellMs = 2_000;

/** Whoever beats also takes out who has not for long. */
const beat = `
  WITH dead AS (DELETE FROM treadle.processes WHERE beat_at < now() - interval '10 minutes' AND id <> $1)
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
  let writing: Promise<void> | undefined;
  const timer = setInterval(() => {
    // One that hangs is not followed by others, and the loop is seen to stand still.
    writing ??= write()
      .catch((error: unknown) => log.warn({ event: 'process.beat-failed', err: error }))
      .finally(() => {
        loop.beat();
        writing = undefined;
      });
  }, everyMs);
  return {
    close: async () => {
      clearInterval(timer);
      loop.end();
      // One that hangs is not waited for.
      await withTimeout(writing ?? Promise.resolve(), farewellMs, 'Postgres').catch(() => undefined);
      await withTimeout(
        postgres.query('DELETE FROM treadle.processes WHERE id = $1', [processId]),
        farewellMs,
        'Postgres',
      ).catch((error: unknown) => log.warn({ event: 'process.farewell-failed', err: error }));
    },
  };
};
