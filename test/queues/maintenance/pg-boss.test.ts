import { spawn } from 'node:child_process';
import { once as onceEvent } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { PgBossClient } from '../../../src/queues/maintenance/pg-boss-client.ts';
import { useDatabase } from '../../services/database.ts';
import { eventually } from '../schedules/schedule-fixtures.ts';
import { itemOf, lockMs, openMaintenance, queue, recorder, type MaintenanceProcess } from './maintenance-fixtures.ts';

const database = useDatabase();

const open: MaintenanceProcess[] = [];
const another = (): MaintenanceProcess => {
  const maintenance = openMaintenance(database.url);
  open.push(maintenance);
  return maintenance;
};
let here: MaintenanceProcess;
beforeEach(() => {
  here = another();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((maintenance) => maintenance.close()));
  await database.query('DELETE FROM pgboss.job');
  await database.query('DELETE FROM treadle.queues');
});

const isEmpty = async (): Promise<void> => expect(await database.query('SELECT id, state FROM pgboss.job')).toEqual([]);

describe('the transport', () => {
  test('knows what was added, counts it, and forgets what is removed', async () => {
    const [one, two, three] = [itemOf('one'), itemOf('two', 3), itemOf('three')];
    await here.transport.add([one, two]);
    expect(await here.transport.backlog()).toBe(2);
    const all = [one.id, two.id, three.id];
    expect(await here.transport.known(all)).toEqual(new Set([one.id, two.id]));
    expect(await here.transport.remove([two.id, three.id])).toEqual(new Set([two.id, three.id]));
    expect(await here.transport.known(all)).toEqual(new Set([one.id]));
    expect(await here.transport.backlog()).toBe(1);
    expect(await here.transport.epoch()).toBe(await another().transport.epoch());
  });

  test('adding what is there already does nothing, also at once from two processes', async () => {
    const item = itemOf('one');
    await Promise.all([here.transport.add([item]), another().transport.add([item]), here.transport.add([item])]);
    expect(await here.transport.backlog()).toBe(1);
    const { run, notes } = recorder();
    here.consume(run);
    await eventually(isEmpty);
    expect(notes).toEqual(['one']);
  });

  test('hands over everything that the relay says of a job', async () => {
    const plain = itemOf('one');
    const relay = { awaits: 2, childrenFailed: 1, limited: true, unsure: true, dueMs: 1.5, traceparent: 'its trace' };
    const item = { ...plain, envelope: { ...plain.envelope, ...relay } };
    await here.transport.add([item]);
    const { run, attempts } = recorder();
    here.consume(run);
    await eventually(isEmpty);
    expect(attempts[0]?.delivery.envelope).toEqual(item.envelope);
  });

  test('an item ended by hand in pg-boss can be added again', async () => {
    const item = itemOf('one');
    await here.transport.add([item]);
    await (await here.client.open(queue, lockMs)).cancel(queue, item.id);
    expect(await here.transport.known([item.id])).toEqual(new Set());
    await here.transport.add([item]);
    expect(await here.transport.known([item.id])).toEqual(new Set([item.id]));
  });

  test('does not remove what is being run', async () => {
    const item = itemOf('one');
    const end = Promise.withResolvers<'remove'>();
    const { run, notes } = recorder(() => end.promise);
    here.consume(run);
    await here.transport.add([item]);
    await eventually(async () => expect(notes).toEqual(['one']));
    expect(await here.transport.backlog()).toBe(0);
    expect(await here.transport.remove([item.id])).toEqual(new Set());
    expect(await here.transport.known([item.id])).toEqual(new Set([item.id]));
    end.resolve('remove');
    await eventually(isEmpty);
  });

  test('without its schema it says which command makes it', async () => {
    await database.query('ALTER SCHEMA pgboss RENAME TO away');
    try {
      const client = new PgBossClient(database.postgres.pool, createLog({ level: 'silent' }));
      await expect(client.open(queue, lockMs)).rejects.toMatchObject({
        code: 'SCHEMA_MISMATCH',
        details: { command: 'treadle migrate up', actual: '0' },
      });
      await client.close();
    } finally {
      await database.query('ALTER SCHEMA away RENAME TO pgboss');
    }
  });
});

describe('a consumer', () => {
  test('is woken at once, and gets the items whole and in order, what was put first before what waited', async () => {
    const waiting = ['a', 'b', 'c', 'd', 'e'].map((note) => itemOf(note));
    const [first, returned] = [itemOf('first'), itemOf('returned', 2)];
    await here.transport.add(waiting);
    await here.transport.add([returned], { first: true });
    await here.transport.add([first], { first: true });
    const { run, notes, attempts } = recorder();
    here.consume(run, { concurrency: 1, pollMs: 3_600_000 });
    await eventually(isEmpty);
    expect(notes).toEqual(['first', 'returned', 'a', 'b', 'c', 'd', 'e']);
    expect(attempts[1]?.delivery).toEqual({
      ...returned,
      jobId: returned.id.split('.')[0],
      queue,
      stalls: 0,
      startedBefore: true,
    });
    const startedAt = performance.now();
    await here.transport.add([itemOf('late')]);
    await eventually(async () => expect(notes).toHaveLength(8));
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test('runs no more at once than it may', async () => {
    let now = 0;
    let most = 0;
    const { run, notes } = recorder(async () => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setTimeout(resolve, 30));
      now -= 1;
      return 'remove' as const;
    });
    here.consume(run, { concurrency: 3 });
    await here.transport.add(Array.from({ length: 12 }, (_, index) => itemOf(String(index))));
    await eventually(isEmpty);
    expect(new Set(notes).size).toBe(12);
    expect(most).toBe(3);
  });

  test('hands an item back at no cost, and another takes it at once', async () => {
    const item = itemOf('one');
    const start = Promise.withResolvers<void>();
    const first = recorder(async () => {
      await start.promise;
      return 'hand-back' as const;
    });
    const consumer = here.consume(first.run);
    await here.transport.add([item]);
    await eventually(async () => expect(first.notes).toEqual(['one']));
    const pausing = consumer.pause();
    const second = recorder();
    another().consume(second.run, { pollMs: 3_600_000 });
    start.resolve();
    await pausing;
    await eventually(isEmpty);
    expect(first.notes).toEqual(['one']);
    expect(second.attempts[0]?.delivery).toMatchObject({ id: item.id, stalls: 0, startedBefore: true });
  });

  test('takes nothing while its queue is paused, and goes on when it is resumed', async () => {
    await here.transport.setPaused(true);
    const { run, notes } = recorder();
    here.consume(run, { pollMs: 50 });
    await here.transport.add([itemOf('one')]);
    const looks = `SELECT (seq_scan + idx_scan)::int AS looks FROM pg_stat_user_tables WHERE relname = 'queues'`;
    const [before] = await database.query<{ looks: number }>(looks);
    await eventually(async () => {
      const [after] = await database.query<{ looks: number }>(looks);
      expect(after?.looks).toBeGreaterThan((before?.looks ?? 0) + 2);
    });
    expect(notes).toEqual([]);
    await here.transport.setPaused(false);
    await eventually(isEmpty);
    expect(notes).toEqual(['one']);
  });

  test('close waits for what is running, and starts nothing more', async () => {
    const end = Promise.withResolvers<'remove'>();
    const { run, notes } = recorder(() => end.promise);
    const consumer = here.consume(run, { concurrency: 1 });
    await here.transport.add([itemOf('one'), itemOf('two')]);
    await eventually(async () => expect(notes).toEqual(['one']));
    const closing = consumer.close();
    const stillOpen = here.postgres.query('SELECT 1').then(() => 'still open');
    expect(await Promise.race([closing.then(() => 'closed'), stillOpen])).toBe('still open');
    end.resolve('remove');
    await closing;
    expect(notes).toEqual(['one']);
    expect(await here.transport.backlog()).toBe(1);
  });

  test('sets aside what is no item of ours', async () => {
    const boss = await here.client.open(queue, lockMs);
    await boss.send(queue, { hello: 'world' });
    const { run, notes } = recorder();
    here.consume(run);
    await here.transport.add([itemOf('one')]);
    await eventually(async () => expect(notes).toEqual(['one']));
    await eventually(async () =>
      expect(await database.query('SELECT state FROM pgboss.job')).toEqual([{ state: 'cancelled' }]),
    );
  });
});

describe('a worker that falls silent', () => {
  test('keeps a long job by renewing it', async () => {
    const end = Promise.withResolvers<'remove'>();
    const { run, attempts } = recorder(() => end.promise);
    here.consume(run);
    await here.transport.add([itemOf('long')]);
    await eventually(async () => expect(attempts).toHaveLength(1));
    const heartbeat = 'SELECT heartbeat_on AS beat FROM pgboss.job';
    const [before] = await database.query<{ beat: Date }>(heartbeat);
    await eventually(async () => {
      const [after] = await database.query<{ beat: Date }>(heartbeat);
      expect(after?.beat.getTime()).toBeGreaterThan((before?.beat.getTime() ?? 0) + 2_000);
    });
    expect(await attempts[0]?.holdsLock()).toBe(true);
    end.resolve('remove');
    await eventually(isEmpty);
  });

  test('loses its item to another; its attempt is told, and cannot take the item away again', async () => {
    const stale = Promise.withResolvers<'hand-back'>();
    const first = recorder(() => stale.promise);
    const consumer = here.consume(first.run);
    const item = itemOf('one');
    await here.transport.add([item]);
    await eventually(async () => expect(first.attempts).toHaveLength(1));
    const pausing = consumer.pause();
    // As if the worker had been silent for a minute.
    await database.query(`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 minute'`);
    const fresh = Promise.withResolvers<'remove'>();
    const second = recorder(() => fresh.promise);
    another().consume(second.run, { pollMs: 100 });
    await eventually(async () => expect(second.attempts).toHaveLength(1), 15_000);
    expect(second.attempts[0]?.delivery).toMatchObject({ id: item.id, stalls: 1 });
    expect(await first.attempts[0]?.holdsLock()).toBe(false);
    expect(first.attempts[0]?.lock.lost).toBe(true);
    stale.resolve('hand-back');
    await pausing;
    await consumer.close();
    expect(await second.attempts[0]?.holdsLock()).toBe(true);
    fresh.resolve('remove');
    await eventually(isEmpty);
  });

  test('killed with kill -9 loses its job to another process within half a minute', { timeout: 60_000 }, async () => {
    const child = spawn(process.execPath, [`${import.meta.dirname}/silent-worker.ts`, database.url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = onceEvent(child, 'exit');
    try {
      const item = itemOf('one');
      await here.transport.add([item]);
      const [said] = (await onceEvent(child.stdout, 'data')) as [Buffer];
      expect(said.toString().trim()).toBe(item.id);
      child.kill('SIGKILL');
      await exited;
      const killedAt = performance.now();
      const { run, attempts } = recorder();
      another().consume(run);
      await eventually(isEmpty, 40_000);
      expect(performance.now() - killedAt).toBeLessThan(30_000);
      expect(attempts.map(({ delivery }) => [delivery.id, delivery.stalls])).toEqual([[item.id, 1]]);
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  });
});

test('a consumer goes on by itself after its connections were cut', async () => {
  const { run, notes } = recorder();
  here.consume(run, { pollMs: 200 });
  await here.transport.add([itemOf('before')]);
  await eventually(async () => expect(notes).toEqual(['before']));
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'maintenance%'`,
  );
  await eventually(() => here.transport.add([itemOf('after')]));
  await eventually(async () => expect(new Set(notes)).toEqual(new Set(['before', 'after'])));
});
