import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { expectAgreement } from './model/agreement.ts';
import { commandsOf, resume, type CommandOptions } from './model/commands.ts';
import { QueueModel } from './model/queue-model.ts';
import { useScriptedQueue } from './model/scripted-queue.ts';

// MODEL_RUNS makes it longer, MODEL_SEED repeats a run; a failure says its seed.
const numRuns = Number(process.env['MODEL_RUNS'] ?? '3');
const seed = Number(process.env['MODEL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const maxCommands = 60;

const suite = (options: CommandOptions, redis?: TestRedis): void => {
  const database = useDatabase();
  const queue = useScriptedQueue(database, redis);

  test(
    'random commands leave the jobs that the model of the queue has',
    { timeout: 60_000 + numRuns * 60_000 },
    async () => {
      const property = fc.asyncProperty(commandsOf(options, maxCommands), async (commands) => {
        const model = new QueueModel();
        try {
          await fc.asyncModelRun(() => ({ model, real: queue }), commands);
          if (model.paused) await resume.run(model, queue);
          await expectAgreement(model, queue, options);
        } finally {
          await queue.treadle.platform.queues.resume('modelled');
          await database.query('DELETE FROM treadle.jobs');
          await database.query('DELETE FROM treadle.finished_jobs');
          await database.query('DELETE FROM treadle.idempotency_keys');
        }
      });
      await expect(
        fc.assert(property, { seed, numRuns, endOnFailure: process.env['MODEL_SHRINK'] === undefined }),
      ).resolves.toBeUndefined();
    },
  );
};

describe('the model of the queue, BullMQ on Postgres', () => {
  suite({ runs: 'exact', flushes: false });
});
describeWithRedis('the model of the queue, BullMQ on Redis', () => {
  suite({ runs: 'exact', flushes: false }, useRedis());
});
describeWithRedis('the model of the queue, BullMQ on a Redis that is flushed', () => {
  suite({ runs: 'at-least', flushes: true }, useRedis());
});
