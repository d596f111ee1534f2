import { blockedLoop } from './cases/blocked-loop.ts';
import { cutRedis } from './cases/cut-redis.ts';
import { flushRedis } from './cases/flush-redis.ts';
import { freezeWorker } from './cases/freeze-worker.ts';
import { killBackends } from './cases/kill-backends.ts';
import { killRelay } from './cases/kill-relay.ts';
import { killSchedulers } from './cases/kill-schedulers.ts';
import { killWorkers } from './cases/kill-workers.ts';
import { restartPostgres } from './cases/restart-postgres.ts';
import { restartRedis } from './cases/restart-redis.ts';
import { terminate } from './cases/terminate.ts';
import type { ChaosCase } from './run-case.ts';

export const cases: readonly ChaosCase[] = [
  killWorkers,
  killRelay,
  killSchedulers,
  freezeWorker,
  blockedLoop,
  flushRedis,
  restartRedis,
  cutRedis,
  restartPostgres,
  killBackends,
  terminate,
];
