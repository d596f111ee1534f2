import { afterEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { AppError } from '../../src/lib/errors/app-error.ts';
import { defineJob, type JobContract } from '../../src/queues/define-job.ts';
import { defineQueue } from '../../src/queues/define-queue.ts';
import { handle, type JobHandler } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { describeWithRedis, useRedis, type TestRedis } from '../services/redis.ts';
import { useDatabase } from '../services/database.ts';
import { startWorker } from '../../src/workers/worker.ts';
import { useTreadle } from './use-treadle.ts';

const work = defineQueue({ name: 'work', concurrency: 10, lockMs: 5_000 });
const capped = defineQueue({ name: 'capped', concurrency: 10, lockMs: 5_000, tenantLimit: { concurrency: 3 } });
const payload = z.object({ kind: z.string().optional(), account: z.string().optional(), n: z.number().optional() });
const hold = defineJob({ name: 'work.hold', queue: 'work', payload });
const quick = defineJob({ name: 'work.quick', queue: 'work', payload });
const holdCapped = defineJob({ name: 'capped.hold', queue: 'capped', payload });
const serial = defineJob({
  name: 'work.serial',
  queue: 'work',
  payload,
  groupBy: ['account'],
  groupLimit: { concurrency: 1 },
});
const paced = defineJob({
  name: 'work.paced',
  queue: 'work',
  payload,
  groupBy: ['account'],
  groupLimit: { rate: { max: 20, perMs: 1_000 } },
});

/** Jobs that begin and wait to be let go. */
class Held {
  readonly running = new Map<string, () => void>();
  readonly begun: string[] = [];
  most = 0;

  run(id: string, label: string): Promise<void> {
    this.begun.push(label);
    return new Promise((resolve) => {
      this.running.set(id, resolve);
      this.most = Math.max(this.most, this.running.size);
    });
  }

  letGo(): void {
    for (const [id, resolve] of this.running) {
      this.running.delete(id);
      resolve();
    }
  }
}

const mostWithin = (times: readonly number[], ms: number): number =>
  Math.max(...times.map((from) => times.filter((time) => time >= from && time < from + ms).length));

const suite = (redis?: TestRedis): void => {
  const database = useDatabase();
  const held = new Held();
  const groups = new Map<string, { now: number; most: number }>();
  let togetherNow = 0;
  let together = 0;
  let begunAt: number[] = [];
  const order: string[] = [];
  const holding = async ({
    job,
    payload: { kind = '' },
  }: {
    job: { id: string };
    payload: z.output<typeof payload>;
  }) => {
    await held.run(job.id, kind);
    return completed(null);
  };
  const handlers: readonly JobHandler[] = [
    handle(hold, holding),
    handle(holdCapped, holding),
    handle(quick, async ({ payload: { kind = '' } }) => {
      order.push(kind);
      return completed(null);
    }),
    handle(serial, async ({ payload: { account = '' } }) => {
      const group = groups.get(account) ?? { now: 0, most: 0 };
      groups.set(account, group);
      group.now += 1;
      group.most = Math.max(group.most, group.now);
      togetherNow += 1;
      together = Math.max(together, togetherNow);
      await new Promise((resolve) => setImmediate(resolve));
      group.now -= 1;
      togetherNow -= 1;
      return completed(null);
    }),
    handle(paced, async () => {
      begunAt.push(performance.now());
      return completed(null);
    }),
  ];
  const treadle = useTreadle({
    database,
    ...(redis ? { redis } : {}),
    contracts: [hold, quick, holdCapped, serial, paced],
    queues: [work, capped],
    handlers,
  });
  const enqueue = (contract: JobContract<string, typeof payload>, tenant: string, count: number, kind = tenant) =>
    treadle.platform.enqueuer.enqueueMany(
      contract,
      Array.from({ length: count }, () => ({ kind })),
      { tenant },
    );
  const running = (count: number): Promise<void> =>
    vi.waitFor(() => expect(held.running.size).toBe(count), { timeout: 15_000 });
  const allEnded = async (): Promise<void> => {
    await vi.waitFor(
      async () => {
        held.letGo();
        expect(await database.query('SELECT FROM treadle.jobs')).toEqual([]);
      },
      { timeout: 20_000, interval: 20 },
    );
  };

  afterEach(async () => {
    await allEnded();
    await database.query('DELETE FROM treadle.limits');
    held.begun.length = 0;
    held.most = 0;
  });

  test('a tenant runs no more at once than its cap, and when one ends the next begins', async () => {
    await enqueue(holdCapped, 'a', 20);
    await running(3);
    for (let ended = 0; ended < 3; ended += 1) {
      const begun = held.begun.length;
      held.letGo();
      await vi.waitFor(() => expect(held.begun.length).toBe(begun + 3), { timeout: 15_000 });
      await running(3);
    }
    expect(held.most).toBe(3);
  });

  test('while a capped tenant holds its slots with long jobs, another tenant begins', async () => {
    await enqueue(holdCapped, 'a', 500);
    await running(3);
    await enqueue(holdCapped, 'b', 1);
    await vi.waitFor(() => expect(held.begun).toContain('b'), { timeout: 15_000 });
    expect(held.running.size).toBe(4);
    const { rowCount } = await treadle.platform.postgres.query(`DELETE FROM treadle.jobs WHERE state = 'accepted'`);
    expect(rowCount).toBe(497);
  });

  test('the cap holds over two workers, and may be changed while jobs run', async () => {
    const second = await startWorker(treadle.platform, { handlers });
    await enqueue(holdCapped, 'a', 12);
    await running(3);
    await treadle.platform.limits.set('capped', { scope: 'tenant', tenant: 'a' }, { concurrency: 5 });
    await running(5);
    expect(held.most).toBe(5);
    await allEnded();
    expect(held.most).toBe(5);
    await second.close();
  });

  test('a limit of the whole queue counts all tenants, and can be taken back', async () => {
    const { limits, queues } = treadle.platform;
    await queues.pause('work');
    await limits.set('work', { scope: 'queue' }, { concurrency: 2 });
    await enqueue(hold, 'a', 3);
    await enqueue(hold, 'b', 3);
    await queues.resume('work');
    await running(2);
    expect(new Set(held.begun)).toEqual(new Set(['a', 'b']));
    await limits.set('work', { scope: 'queue' }, null);
    await running(6);
  });

  test('a tenant of three times the weight gets three times the turns', async () => {
    const { limits, queues } = treadle.platform;
    await limits.set('work', { scope: 'tenant', tenant: 'heavy' }, { weight: 3 });
    await queues.pause('work');
    await enqueue(quick, 'heavy', 300);
    await enqueue(quick, 'light', 300);
    order.length = 0;
    await queues.resume('work');
    await vi.waitFor(() => expect(order.length).toBe(600), { timeout: 15_000 });
    const heavy = order.slice(0, 200).filter((kind) => kind === 'heavy').length;
    expect(heavy).toBeGreaterThan(120);
    expect(heavy).toBeLessThan(175);
  });

  test('jobs of a group run one at a time, those of several groups side by side', async () => {
    await treadle.platform.enqueuer.enqueueMany(
      serial,
      Array.from({ length: 60 }, (_, n) => ({ account: `account-${n % 6}`, n })),
    );
    await allEnded();
    expect([...groups.values()].map(({ most }) => most)).toEqual([1, 1, 1, 1, 1, 1]);
    expect(together).toBeGreaterThan(1);
  });

  test('a rate of a group spreads what begins', async () => {
    begunAt = [];
    await treadle.platform.enqueuer.enqueueMany(
      paced,
      Array.from({ length: 70 }, () => ({ account: 'x' })),
    );
    await allEnded();
    expect(begunAt.length).toBe(70);
    // Twenty at once, those that the next second brings, and a few that waited for a worker.
    expect(mostWithin(begunAt, 950)).toBeLessThanOrEqual(46);
  });

  test('a rate of a queue counts all its jobs; other queues go on', async () => {
    const { limits, queues } = treadle.platform;
    await queues.pause('work');
    await limits.set('work', { scope: 'queue' }, { rate: { max: 10, perMs: 60_000 } });
    order.length = 0;
    await enqueue(quick, 'a', 5);
    await queues.resume('work');
    await vi.waitFor(() => expect(order.length).toBe(1), { timeout: 15_000 });
    await enqueue(holdCapped, 'b', 1);
    await running(1);
    expect(order.length).toBe(1);
    await limits.set('work', { scope: 'queue' }, {});
    await vi.waitFor(() => expect(order.length).toBe(5), { timeout: 15_000 });
  });

  test('limits that make no sense are refused by name', async () => {
    const { limits } = treadle.platform;
    const refused = async (limit: object, scope: 'queue' | 'tenants' = 'tenants'): Promise<string> => {
      const error: unknown = await limits.set('work', { scope }, limit).catch((thrown: unknown) => thrown);
      return error instanceof AppError ? `${error.code} ${error.message}` : 'accepted';
    };
    expect(await refused({ concurrency: 0 })).toMatch(/VALIDATION_ERROR.*concurrency/);
    expect(await refused({ rate: { max: 5 } })).toMatch(/VALIDATION_ERROR.*perMs/);
    expect(await refused({ weight: -1 })).toMatch(/VALIDATION_ERROR.*weight/);
    expect(await refused({ weight: 2 }, 'queue')).toMatch(/VALIDATION_ERROR.*weight: is for tenants/);
    await expect(limits.set('no-such', { scope: 'queue' }, {})).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
};

describe('limits, BullMQ on Postgres', () => {
  suite();
});
describeWithRedis('limits, BullMQ on Redis', () => {
  suite(useRedis());
});
