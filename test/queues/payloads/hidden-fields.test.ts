import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../../src/platform.ts';
import { defineJob } from '../../../src/queues/define-job.ts';
import { handle, handleBatch, type JobHandler } from '../../../src/queues/handle.ts';
import type { JobRecord } from '../../../src/queues/ledger/job-record.ts';
import { completed, permanent } from '../../../src/queues/outcome.ts';
import { startWorker } from '../../../src/workers/worker.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../../services/redis.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';

const card = z.object({ number: z.string(), holder: z.string() });
const charge = defineJob({
  name: 'hidden.charge',
  payload: z.object({
    order: z.string(),
    card,
    others: z.array(card).optional(),
    note: z.string().optional(),
    text: z.string().optional(),
  }),
  result: z.object({ receipt: z.string(), total: z.number() }),
  attempts: 1,
  encrypt: ['card.number', 'others.number'],
  redact: ['card.holder', 'note'],
  redactResult: ['receipt'],
});
const together = defineJob({
  name: 'hidden.together',
  payload: charge.payload,
  attempts: 1,
  batchSize: 5,
  encrypt: ['card.number'],
});
const payload = { order: 'o-1', card: { number: '4111 1111', holder: 'Mia Long' } };
const shown = { order: 'o-1', card: { number: '[encrypted]', holder: '[redacted]' } };
const newKey = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const k1 = newKey('k1');
  const k2 = newKey('k2');
  const seen: z.output<typeof charge.payload>[] = [];
  const handlers = [
    handle(charge, async (context) => {
      seen.push(context.payload);
      const { order, card: given } = context.payload;
      if (order === 'fails') throw new Error(`no money on ${given.number} of ${given.holder}`);
      return completed({ receipt: 'r-77', total: 5 });
    }),
  ];
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [charge, together],
    handlers: [
      ...handlers,
      handleBatch(together, async ({ jobs }) =>
        jobs.map(({ payload: given }) =>
          given.order === 'fails' ? permanent(new Error(given.card.number)) : completed(given.text?.length),
        ),
      ),
    ],
    env: { TREADLE_ENCRYPTION_KEYS: k1 },
  });
  const opened: { close(): Promise<void> }[] = [];
  afterAll(async () => {
    for (const one of opened.toReversed()) await one.close();
  });
  /** Another process of the installation, with keys of its own. */
  const openOther = async (keys: string, working?: readonly JobHandler[]): Promise<Platform> => {
    const { url } = database;
    const config = loadConfig({
      DATABASE_URL: url,
      TREADLE_ENCRYPTION_KEYS: keys,
      LOG_LEVEL: 'silent',
      ...(redis ? { REDIS_URL: redis.url } : {}),
    });
    const parts = { url, directUrl: url, embedded: false, close: () => Promise.resolve() };
    const platform = await createPlatform(config, createLog({ level: 'silent' }), parts, { contracts: [charge] });
    opened.push(platform);
    if (working) opened.push(await startWorker(platform, { handlers: working }));
    return platform;
  };
  const finished = async (id: string): Promise<JobRecord> => {
    const job = await treadle.platform.jobs.wait(id, 15_000);
    if (!job) throw new Error('the job vanished');
    return job;
  };
  /** All that Postgres keeps, as text. */
  const kept = async (): Promise<string> => {
    const tables = ['jobs', 'finished_jobs', 'payloads', 'idempotency_keys'];
    const rows = await Promise.all(tables.map((table) => database.query(`SELECT * FROM treadle.${table}`)));
    return JSON.stringify(rows);
  };

  test('the handler sees what is kept encrypted and shown to nobody', async () => {
    const { enqueuer, jobs, queues } = treadle.platform;
    await queues.pause('default');
    const others = [{ number: '5500 0000', holder: 'Ben' }];
    const given = { ...payload, others, note: 'ring twice', text: 'long '.repeat(20_000) };
    const { id } = await enqueuer.enqueue(charge, given, { idempotencyKey: 'first' });
    expect((await enqueuer.enqueue(charge, given, { idempotencyKey: 'first' })).id).toBe(id);
    expect(await kept()).not.toMatch(/4111|5500/);
    await queues.resume('default');
    const job = await finished(id);
    expect(seen.at(-1)).toEqual(given);
    expect(job).toMatchObject({ state: 'completed', result: { receipt: '[redacted]', total: 5 } });
    expect((await jobs.find(id))?.payload).toMatchObject({
      ...shown,
      others: [{ number: '[encrypted]' }],
      note: '[redacted]',
    });
    expect(await kept()).not.toMatch(/4111|5500/);
  });

  test('an error that quotes hidden values tells of them neither there nor in lists', async () => {
    const { enqueuer, deadLetters } = treadle.platform;
    const { id } = await enqueuer.enqueue(charge, { ...payload, order: 'fails' });
    const job = await finished(id);
    expect(job).toMatchObject({ state: 'dead', error: { message: 'no money on [redacted] of [redacted]' } });
    const { items } = await deadLetters.list({ name: charge.name }, { limit: 1 });
    expect(items[0]).toMatchObject({ id, payload: { ...shown, order: 'fails' } });
    expect(JSON.stringify([job, items])).not.toMatch(/4111|Mia/);
    expect(await kept()).not.toMatch(/4111/);
    // Nor does a filter, however it is guessed.
    const guessed = async (path: string, value: string) =>
      (await deadLetters.list({ payload: { [path]: value } }, { limit: 1 })).items.length;
    expect(await guessed('card.holder', 'Mia Long')).toBe(0);
    expect(await guessed('order', 'fails')).toBe(1);
  });

  test('a handler of several jobs sees plain and large payloads, and its errors are hidden', async () => {
    const accepted = await treadle.platform.enqueuer.enqueueMany(together, [
      { ...payload, text: 'long '.repeat(20_000) },
      { ...payload, order: 'fails' },
    ]);
    const [large, failed] = await Promise.all(accepted.map(({ id }) => finished(id)));
    expect(large).toMatchObject({ state: 'completed', result: 100_000 });
    expect(failed).toMatchObject({ state: 'dead', error: { message: '[redacted]' } });
  });

  test('a job under a key that is missing or wrong is a dead letter that names it, and runs once it is there', async () => {
    const { deadLetters } = treadle.platform;
    const missing = await openOther(k2);
    const one = await missing.enqueuer.enqueue(charge, payload);
    expect(await finished(one.id)).toMatchObject({
      state: 'dead',
      attemptsMade: 1,
      error: {
        code: 'CONFIGURATION_ERROR',
        message: `the payload of hidden.charge: card.number: is encrypted under the key k2, which TREADLE_ENCRYPTION_KEYS does not have`,
      },
    });
    const wrong = await openOther(newKey('k1'));
    const two = await wrong.enqueuer.enqueue(charge, payload);
    expect((await finished(two.id)).error?.message).toMatch(/card\.number: is not what the key k1 .* encrypted here/);
    await treadle.platform.queues.pause('default');
    await deadLetters.redrive({ ids: [one.id] }, 1);
    // Under the key that this worker has, from a process that has both.
    const both = await openOther(`${k1},${k2}`);
    const { rotated, unreadable } = await both.rotateEncryption(new AbortController().signal);
    expect({ rotated, unreadable }).toEqual({ rotated: 1, unreadable: {} });
    await treadle.platform.queues.resume('default');
    expect(await finished(one.id)).toMatchObject({ state: 'completed' });
  });

  test('after a rotation the old key may go, whatever waits or is kept', async () => {
    const { enqueuer, queues, transports } = treadle.platform;
    const done = await finished((await enqueuer.enqueue(charge, { ...payload, order: 'done' })).id);
    await queues.pause('default');
    const waiting = await enqueuer.enqueue(charge, { ...payload, order: 'waiting' });
    const large = await enqueuer.enqueue(charge, { ...payload, order: 'large', text: 'long '.repeat(20_000) });
    const [carried] = await database.query<{ payload: Record<string, unknown> }>(
      'SELECT payload FROM treadle.jobs WHERE id = $1',
      [waiting.id],
    );
    const third = newKey('k3');
    const rotating = await openOther(`${third},${k1}`);
    expect((await rotating.rotateEncryption(new AbortController().signal)).rotated).toBeGreaterThanOrEqual(3);
    const rows = await database.query<{ name: string; payload: { card?: { number: string } } | null }>(
      `SELECT name, coalesce(nullif(job.payload, 'null'), kept.payload) AS payload
       FROM treadle.all_jobs AS job LEFT JOIN treadle.payloads AS kept ON kept.job_id = job.id WHERE id = ANY ($1)`,
      [[done.id, waiting.id, large.id]],
    );
    expect(rows.map((row) => row.payload?.card?.number.slice(0, 18))).toEqual(Array(3).fill('treadle:enc:v1:k3:'));
    // What was in its queue already is under the old key for good, but the ledger has it under the new one.
    const later = await openOther(third);
    expect(await later.payloads.open(charge, waiting.id, carried?.payload ?? null)).toEqual({
      ...payload,
      order: 'waiting',
    });
    // This process has the old key only. What its queue carries of these is nothing yet.
    expect(await (await transports.of('default')).backlog()).toBe(0);
    await queues.resume('default');
    expect((await finished(waiting.id)).error?.message).toMatch(/the key k3/);
  });

  test('SQL cannot enqueue what has to be encrypted, and a schedule cannot keep it', async () => {
    await expect(
      database.query(`SELECT treadle.enqueue('hidden.charge', $1)`, [JSON.stringify(payload)]),
    ).rejects.toThrow('hidden.charge encrypts card.number, and the database has no key');
    const schedule = { jobName: charge.name, payload, cron: '0 0 * * *' };
    await expect(treadle.platform.schedules.put('charge', schedule)).rejects.toThrow(
      'payload.card.number: cannot be kept in a schedule: the job hides it',
    );
  });

  test('what is shown in place of a hidden value cannot be enqueued again', async () => {
    const copied = { order: 'copied', card: { number: '[encrypted]', holder: '[redacted]' } };
    await expect(treadle.platform.enqueuer.enqueue(charge, copied)).rejects.toThrow(
      'payload.card.number: is what is shown in place of a hidden value; payload.card.holder: is what',
    );
  });

  test('a process without keys does not start with such a contract', async () => {
    await expect(openOther('')).rejects.toMatchObject({
      code: 'CONFIGURATION_ERROR',
      message: 'TREADLE_ENCRYPTION_KEYS must be set: the job hidden.charge encrypts card.number, others.number',
    });
  });
};

describe('on Postgres', () => {
  suite();
});
describeWithRedis('on Redis', () => {
  suite(useRedis());
});
