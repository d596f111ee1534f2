import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Shutdown } from '../../src/lib/shutdown/shutdown.ts';
import { createPlatform } from '../../src/platform.ts';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { startScheduler } from '../../src/workers/scheduler.ts';
import { startWorker } from '../../src/workers/worker.ts';

// A worker, and with SCHEDULER=1 a scheduler, of the queue `things` with a lock of two seconds. The job `things.work` notes
// in the table `runs` that it started, goes on for `ms` whatever its signal says, and answers the name of the process;
// `things.effect` writes `n` to the table `effects` in the transaction that completes it; `things.careful` does so slowly.
const name = process.argv[2] ?? '';
const config = loadConfig(process.env);
const log = createLog({ level: config.logLevel });
const shutdown = new Shutdown({ log, graceMs: config.shutdownGraceMs });
const url = config.database.url ?? '';
const work = defineJob({ name: 'things.work', queue: 'things', payload: z.object({ ms: z.number() }), attempts: 1 });
const effect = defineJob({ name: 'things.effect', queue: 'things', payload: z.object({ n: z.number() }) });
const careful = defineJob({
  name: 'things.careful',
  queue: 'things',
  payload: z.object({ beforeMs: z.number(), afterMs: z.number() }),
});
const platform = await createPlatform(
  config,
  log,
  { url, directUrl: url, embedded: false, close: () => Promise.resolve() },
  { contracts: [work, effect, careful], queues: [defineQueue({ name: 'things', lockMs: 2_000 })] },
);
shutdown.onClose('platform', () => platform.close());
if (process.env['SCHEDULER'] === '1') {
  const scheduler = await startScheduler(platform, { schedules: [] });
  shutdown.onClose('scheduler', () => scheduler.close());
}
const handlers = [
  handle(work, async ({ job, payload: { ms } }) => {
    await platform.postgres.query('INSERT INTO runs (job_id, worker) VALUES ($1, $2)', [job.id, name]);
    console.log('started');
    await delay(ms);
    console.log('handler ended');
    return completed(name);
  }),
  handle(careful, async ({ payload: { beforeMs, afterMs }, completeIn }) => {
    const outcome = await platform.postgres
      .transaction(async (tx) => {
        await tx.query('INSERT INTO effects (n) VALUES (1)');
        console.log('inserted');
        await delay(beforeMs);
        return completeIn(tx, name);
      })
      .finally(() => console.log('over'));
    await delay(afterMs);
    return outcome;
  }),
  handle(effect, async ({ payload: { n }, completeIn }) => {
    await delay(5);
    return platform.postgres.transaction(async (tx) => {
      await tx.query('INSERT INTO effects (n) VALUES ($1)', [n]);
      return completeIn(tx, name);
    });
  }),
];
const worker = await startWorker(platform, { handlers });
shutdown.onClose('worker', () => worker.close());
console.log('ready');
