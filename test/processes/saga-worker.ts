import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { defineSaga, type InTransaction, type SagaStepContext } from '../../src/domain/sagas/define-saga.ts';
import { runSagaHandler } from '../../src/jobs/sagas/handler.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import type { Queryable } from '../../src/lib/postgres/queryable.ts';
import { Shutdown } from '../../src/lib/shutdown/shutdown.ts';
import { createPlatform } from '../../src/platform.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { OutcomeError, permanent } from '../../src/queues/outcome.ts';
import { startScheduler } from '../../src/workers/scheduler.ts';
import { startWorker } from '../../src/workers/worker.ts';

// A worker and a scheduler with the saga `tests.order` of the steps a, b (in a transaction) and c. Each writes to the table
// `effects`; c fails where the input says so, after its effect. With STOP=1 a saga stops for ever before or inside the step
// that its input names in `stopAt`, having said so on a line. The queue's lock is a second.
const config = loadConfig(process.env);
const log = createLog({ level: config.logLevel });
const shutdown = new Shutdown({ log, graceMs: config.shutdownGraceMs });
const url = config.database.url ?? '';

const input = z.object({ stopAt: z.string(), fails: z.boolean() });
type Context = SagaStepContext<z.output<typeof input>> & Partial<InTransaction>;

const passes = async ({ input: { stopAt } }: Context, point: string): Promise<void> => {
  if (process.env['STOP'] !== '1' || stopAt !== point) return;
  console.log('stopped');
  await Promise.withResolvers<void>().promise;
};

/** Outside of a transaction whoever is asked for the effect knows the key of one that it has had already. */
const has = async (db: Queryable, saga: string, effect: string, key: string): Promise<void> => {
  await db.query('INSERT INTO effects (key, saga_id, effect) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING', [
    key,
    saga,
    effect,
  ]);
};
const does = async (context: Context, effect: string): Promise<void> => {
  const {
    saga,
    tx,
    idempotencyKey,
    platform: { postgres },
  } = context;
  await passes(context, `before ${effect}`);
  await has(tx ?? postgres, saga.id, effect, tx ? randomUUID() : idempotencyKey);
  await passes(context, `inside ${effect}`);
};

const order = defineSaga({
  name: 'tests.order',
  input,
  backoff: { delayMs: 0 },
  steps: [
    { name: 'a', execute: (context) => does(context, 'a'), compensate: (context) => does(context, 'undo a') },
    {
      name: 'b',
      transactional: true,
      execute: (context) => does(context, 'b'),
      compensate: (context) => does(context, 'undo b'),
    },
    {
      name: 'c',
      execute: async (context) => {
        await does(context, 'c');
        if (context.input.fails) throw new OutcomeError(permanent(new Error('c cannot be done')));
      },
      compensate: (context) => does(context, 'undo c'),
    },
  ],
});

const platform = await createPlatform(
  config,
  log,
  { url, directUrl: url, embedded: false, close: () => Promise.resolve() },
  { sagas: [order], queues: [defineQueue({ name: 'sagas', lockMs: 1_000, concurrency: 30 })] },
);
shutdown.onClose('platform', () => platform.close());
const scheduler = await startScheduler(platform, { schedules: [] });
shutdown.onClose('scheduler', () => scheduler.close());
const worker = await startWorker(platform, { handlers: [runSagaHandler] });
shutdown.onClose('worker', () => worker.close());
for (const given of z.array(input).parse(JSON.parse(process.argv[2] ?? '[]'))) await platform.sagas.start(order, given);
console.log('ready');
