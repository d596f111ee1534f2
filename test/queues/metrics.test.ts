import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { useDatabase } from '../services/database.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useTreadle } from './use-treadle.ts';

const queue = defineQueue({ name: 'counted' });
const payload = z.object({ n: z.number() });
const backoff = { type: 'fixed', delayMs: 1 } as const;
const fine = defineJob({ name: 'counted.fine', queue: 'counted', payload });
const doomed = defineJob({ name: 'counted.doomed', queue: 'counted', payload, attempts: 2, backoff });
const direct = defineJob({ name: 'counted.direct', queue: 'counted', payload, durability: 'queue' });
const all = { fine, doomed, direct };

/** A version 7 UUID begins with the milliseconds of its making. */
const anHourOlder = (id: string): string => {
  const ms = (Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16) - 3_600_000).toString(16).padStart(12, '0');
  return `${ms.slice(0, 8)}-${ms.slice(8)}${id.slice(13)}`;
};

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: Object.values(all),
    queues: [queue],
    handlers: [
      handle(fine, async () => completed({})),
      handle(direct, async () => completed({})),
      handle(doomed, async () => {
        throw new Error('never');
      }),
    ],
  });
  const values = async (): Promise<ReadonlyMap<string, number>> => {
    const text = await treadle.platform.meter.expose();
    return new Map(
      text.split('\n').flatMap((line): [string, number][] => {
        const [, key, value] = /^([a-z]\S*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
        return key === undefined ? [] : [[key, Number(value)]];
      }),
    );
  };

  test('count what became of jobs, and measure how long they waited and ran', async () => {
    const { enqueuer, jobs } = treadle.platform;
    const [kept] = await enqueuer.enqueueMany(fine, [{ n: 1 }, { n: 2 }, { n: 3 }]);
    const delayed = await enqueuer.enqueue(fine, { n: 4 }, { delayMs: 3_600_000 });
    const late = anHourOlder(delayed.id);
    await database.query(`UPDATE treadle.jobs SET id = $2, created_at = created_at - interval '1 hour' WHERE id = $1`, [
      delayed.id,
      late,
    ]);
    await jobs.promote(late);
    const dead = await enqueuer.enqueue(doomed, { n: 1 });
    await enqueuer.enqueue(direct, { n: 1 });
    for (const id of [kept?.id ?? '', late, dead.id]) await jobs.wait(id, 10_000);
    await expect
      .poll(async () => Object.fromEntries(await values()), { timeout: 10_000 })
      .toMatchObject({
        'treadle_jobs_enqueued_total{queue="counted",job="counted.fine"}': 4,
        'treadle_jobs_enqueued_total{queue="counted",job="counted.direct"}': 1,
        'treadle_attempts_total{queue="counted",job="counted.fine",outcome="completed"}': 4,
        'treadle_attempts_total{queue="counted",job="counted.doomed",outcome="retryable"}': 2,
        'treadle_jobs_finished_total{queue="counted",job="counted.fine",state="completed"}': 4,
        'treadle_jobs_finished_total{queue="counted",job="counted.direct",state="completed"}': 1,
        'treadle_jobs_finished_total{queue="counted",job="counted.doomed",state="dead"}': 1,
        'treadle_attempt_duration_seconds_count{queue="counted",job="counted.doomed"}': 2,
        'treadle_job_wait_seconds_count{queue="counted",job="counted.fine"}': 4,
        treadle_relay_leads: 1,
        'treadle_queue_paused{queue="counted"}': 0,
        treadle_schedules_late: 0,
      });
    const counted = await values();
    // The delayed job waited from when it was due, not from when it was enqueued an hour before.
    expect(counted.get('treadle_job_wait_seconds_sum{queue="counted",job="counted.fine"}')).toBeLessThan(3_600);
    for (const name of ['treadle_relay_batch_jobs_sum{queue="counted"}', 'treadle_ledger_batch_jobs_sum{what="ends"}'])
      expect(counted.get(name)).toBeGreaterThanOrEqual(5);
    expect(counted.get('treadle_ledger_batch_jobs_sum{what="returns"}')).toBe(1);
    expect(counted.has('treadle_postgres_connections{state="active"}')).toBe(true);
  });
};

describe('metrics, with queues on Postgres', () => {
  suite();
});
describeWithRedis('metrics, with queues on Redis', () => {
  suite(useRedis());
});
