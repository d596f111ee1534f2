import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';
import { defineQueue } from '../../../src/queues/define-queue.ts';
import { handle } from '../../../src/queues/handle.ts';
import { completed, deferred, permanent, rateLimited, retryable } from '../../../src/queues/outcome.ts';
import type { TestDatabase } from '../../services/database.ts';
import type { TestRedis } from '../../services/redis.ts';
import { useTreadle, type TestTreadle } from '../use-treadle.ts';
import { attemptFailed, longMs, resultOf, stepOf } from './queue-model.ts';

const step = z.object({
  putOffs: z.number(),
  ending: z.enum(['complete', 'fail', 'fail-for-long', 'put-off-for-long', 'permanent']),
});

const queue = defineQueue({ name: 'modelled', concurrency: 10, lockMs: 2_000 });
export const scripted = defineJob({
  name: 'modelled.scripted',
  queue: queue.name,
  payload: z.object({ n: z.number(), script: z.array(step) }),
  backoff: { type: 'fixed', delayMs: 1 },
});

/** A queue whose handler does what the payload says, and what it saw of it. */
export interface ScriptedQueue {
  readonly treadle: TestTreadle;
  readonly database: TestDatabase;
  readonly redis: TestRedis | undefined;
  /** By job. */
  readonly runs: Map<string, number>;
  /** Jobs whose fault somebody has mended. */
  readonly mended: Set<string>;
  /** The job begins from the first attempt of its script again. */
  beginAgain(id: string): void;
}

export const useScriptedQueue = (database: TestDatabase, redis?: TestRedis): ScriptedQueue => {
  const runs = new Map<string, number>();
  const mended = new Set<string>();
  /** By job: how often its attempt has said "not yet". */
  const putOffs = new Map<string, number>();
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [scripted],
    queues: [queue],
    env: { TREADLE_QUEUES: queue.name },
    handlers: [
      handle(scripted, async ({ job, payload: { n, script } }) => {
        runs.set(job.id, (runs.get(job.id) ?? 0) + 1);
        const { putOffs: wanted, ending } = stepOf(script, job.attempt, mended.has(job.id));
        const before = putOffs.get(job.id) ?? 0;
        putOffs.set(job.id, before + 1);
        if (before < wanted) return before % 2 === 0 ? rateLimited(1) : deferred(new Date(Date.now() + 1));
        if (ending === 'put-off-for-long' && before === wanted) return deferred(new Date(Date.now() + longMs));
        putOffs.delete(job.id);
        const error = new Error(attemptFailed(n, job.attempt));
        switch (ending) {
          case 'put-off-for-long':
          case 'complete':
            return completed(resultOf(n, job.attempt));
          case 'fail':
            return retryable(error);
          case 'fail-for-long':
            return retryable(error, longMs);
          case 'permanent':
            return permanent(error);
          default:
            return ending satisfies never;
        }
      }),
    ],
  });
  return { treadle, database, redis, runs, mended, beginAgain: (id) => void putOffs.delete(id) };
};
