import { describe, expect, test } from 'vitest';
import { ConsumerPositions } from '../../../src/domain/events/consumers/consumer-positions.ts';
import { defineConsumer, type ConsumerOptions } from '../../../src/domain/events/consumers/define-consumer.ts';
import type { NewEvent } from '../../../src/domain/events/domain-event.ts';
import { beginning } from '../../../src/domain/events/position.ts';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { useDatabase } from '../../services/database.ts';
import { idsOf, newEvent, newName, noting, useEvents } from './use-events.ts';

const database = useDatabase();
const on = useEvents(database);
const publish = (name: string, count = 1, fields: Partial<NewEvent> = {}) =>
  on.platform.events.publishBatch(Array.from({ length: count }, () => newEvent(name, fields)));
const patience = { timeout: 30_000, interval: 10 };
const status = (name: string) => on.platform.eventConsumers.get(name);
/** Once it has its position: what is published from then on is for it. */
const begun = async (name: string): Promise<void> => {
  await expect
    .poll(async () => (await on.platform.eventConsumers.list()).map((one) => one.name), patience)
    .toContain(name);
};
const letters = async (name: string) => (await on.platform.eventConsumers.deadLetters(name)).items;

describe('a durable consumer', () => {
  test('is told of each event of its types, and goes on where it stood', async () => {
    const name = newName();
    const { consumer, seen } = noting(name);
    const runner = on.run(consumer);
    await begun(name);
    const first = await publish(name, 250);
    await publish(newName(), 3);
    await expect.poll(() => seen.length, patience).toBe(250);
    await runner.close();
    const second = await publish(name, 3);
    on.run(consumer);
    await expect.poll(() => seen.length, patience).toBe(253);
    expect(seen).toEqual(idsOf([...first, ...second]));
    await expect.poll(async () => (await status(name)).lag, patience).toBe(0);
    expect(await status(name)).toMatchObject({
      types: [`${name}.*`],
      holder: on.platform.processId,
      lagSeconds: 0,
      missed: 0,
    });
  });

  test('begins now, or with all that there is', async () => {
    const name = newName();
    const before = await publish(name);
    const [late, early] = [
      noting(`${name}.late`, { types: [`${name}.*`] }),
      noting(`${name}.early`, { types: [`${name}.*`], from: 'start' }),
    ];
    on.run(late.consumer);
    on.run(early.consumer);
    await begun(`${name}.late`);
    const after = await publish(name);
    await expect.poll(() => late.seen, patience).toEqual(idsOf(after));
    await expect.poll(() => early.seen, patience).toEqual(idsOf([...before, ...after]));
  });

  test('is run by one process at a time, and by another when that one dies', async () => {
    const name = newName();
    const { consumer, seen } = noting(name);
    const runners = [on.run(consumer), on.run(consumer), on.run(consumer)];
    await begun(name);
    const published = [...(await publish(name, 20))];
    await expect.poll(() => seen.length, patience).toBe(20);
    for (const runner of runners.slice(0, 2)) {
      await runner.kill();
      published.push(...(await publish(name, 20)));
      await expect.poll(() => new Set(seen).size, patience).toBe(published.length);
    }
    expect([...new Set(seen)]).toEqual(idsOf(published));
  });

  test('takes nothing from a process that has lost it without knowing', async () => {
    const name = newName();
    const positions = new ConsumerPositions(database.postgres);
    await positions.register(name, [`${name}.*`], 'start');
    await publish(name);
    const first = await positions.take(name, 'first', 1);
    const { eventLog } = on.platform;
    const read = async () => (await eventLog.read(beginning, { limit: 1, types: [`${name}.*`] })).events[0];
    await expect.poll(read, patience).toBeDefined();
    const recorded = await read();
    const second = await positions.take(name, 'second', 60_000);
    if (!first || !second || !recorded) throw new Error('nobody had it');
    const { holder } = first;
    const fault = { code: 'X', message: 'x' };
    expect(await positions.take(name, 'third', 60_000)).toBeUndefined();
    expect(await positions.advance(holder, recorded.position)).toBe(false);
    expect(await positions.idle(holder, recorded.position)).toBe(false);
    expect(await positions.renew(holder)).toBe(false);
    expect(await positions.bury(holder, recorded, { attempts: 1, fault })).toBe(false);
    expect(await positions.fail(holder, recorded.position, { attempts: 1, delayMs: 1, fault })).toBe(false);
    await positions.release(holder);
    expect(await status(name)).toMatchObject({ holder: 'second', lag: 1, deadLetters: 0, attempts: 0 });
    expect(await positions.advance(second.holder, recorded.position)).toBe(true);
    expect(await status(name)).toMatchObject({ lag: 0 });
  });

  test('has a handler of batches, which falls back to one by one', async () => {
    const name = newName();
    const calls: number[] = [];
    const consumer = defineConsumer({
      name,
      types: [`${name}.*`],
      from: 'start',
      batchSize: 40,
      attempts: 2,
      backoff: { delayMs: 1 },
      handleBatch: (events) => {
        if (events.some(({ aggregateId }) => aggregateId === 'poison')) throw new Error('cannot');
        calls.push(events.length);
      },
    });
    await on.platform.events.publishBatch(
      Array.from({ length: 100 }, (_, place) => newEvent(name, place === 50 ? { aggregateId: 'poison' } : {})),
    );
    on.run(consumer);
    await expect.poll(() => calls.reduce((sum, events) => sum + events, 0), patience).toBe(99);
    // The second batch, but for the poison, one by one.
    expect(calls).toEqual([40, ...Array.from({ length: 39 }, () => 1), 20]);
    expect(await letters(name)).toMatchObject([{ attempts: 2, event: { aggregateId: 'poison' } }]);
  });

  test('tells its handler when to stop, and hands over at once when its process ends', async () => {
    const name = newName();
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    const attempts: number[] = [];
    const consumer = defineConsumer({
      name,
      types: [`${name}.*`],
      from: 'start',
      handle: async (_, { attempt, signal }) => {
        attempts.push(attempt);
        if (attempts.length > 1) return;
        resolve();
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    });
    await publish(name);
    const runner = on.run(consumer);
    await reached;
    await runner.close();
    on.run(consumer);
    // The interruption cost no attempt.
    await expect.poll(() => attempts, patience).toEqual([1, 1]);
    await expect.poll(async () => (await status(name)).lag, patience).toBe(0);
    expect(await letters(name)).toEqual([]);
  });
});

describe('an event that its handler fails with', () => {
  test('is tried again, before any other', async () => {
    const name = newName();
    let failures = 2;
    const { consumer, seen } = noting(name, {
      from: 'start',
      handle: ({ data }) => {
        if (data['place'] === 1 && failures-- > 0) throw new Error('not yet');
      },
    });
    const published = await on.platform.events.publishBatch(
      [0, 1, 2].map((place) => newEvent(name, { data: { place } })),
    );
    on.run(consumer);
    await expect.poll(() => seen.length, patience).toBe(3);
    expect(seen).toEqual(idsOf(published));
    expect(await letters(name)).toEqual([]);
  });

  test('shows while it waits, and keeps its count when another process takes over', async () => {
    const name = newName();
    const { consumer } = noting(name, {
      from: 'start',
      backoff: { delayMs: 60_000, maxDelayMs: 60_000 },
      handle: () => Promise.reject(new Error('not \0 yet')),
    });
    await publish(name);
    const runner = on.run(consumer);
    await expect.poll(async () => (await status(name)).attempts, patience).toBe(1);
    await runner.close();
    on.run(consumer);
    await expect.poll(async () => (await status(name)).holder, patience).not.toBeNull();
    expect(await status(name)).toMatchObject({
      attempts: 1,
      error: { code: 'Error', message: 'not \u2400 yet' },
      nextAttemptAt: expect.any(Date),
      lag: 1,
    });
    expect(await on.platform.meter.expose()).toContain(`treadle_event_consumer_lag_events{consumer="${name}"} 1`);
  });

  test('for good is a dead letter, and can be redriven', async () => {
    const name = newName();
    let broken = true;
    const { consumer, seen } = noting(name, {
      from: 'start',
      attempts: 3,
      handle: ({ aggregateId }) => {
        if (broken && aggregateId === 'poison') throw new AppError('TIMEOUT', 'too slow', {});
      },
    });
    const [before, poison, after] = await on.platform.events.publishBatch(
      ['a', 'poison', 'b'].map((aggregateId) => newEvent(name, { aggregateId })),
    );
    on.run(consumer);
    await expect.poll(() => seen, patience).toEqual(idsOf([before, after].filter((event) => event !== undefined)));
    const letter = {
      event: poison?.toJSON(),
      attempts: 3,
      error: { code: 'TIMEOUT', message: 'too slow' },
      redrive: false,
    };
    expect(await letters(name)).toEqual([{ ...letter, failedAt: expect.any(Date) }]);
    expect(await on.platform.meter.expose()).toContain(`treadle_event_consumer_dead_letters{consumer="${name}"} 1`);

    expect(await on.platform.eventConsumers.redrive(name)).toBe(1);
    await expect.poll(async () => (await letters(name))[0]?.attempts, patience).toBe(4);
    broken = false;
    expect(await on.platform.eventConsumers.redrive(name, [after?.id ?? ''])).toBe(0);
    expect(await on.platform.eventConsumers.redrive(name, [poison?.id ?? ''])).toBe(1);
    await expect.poll(() => letters(name), patience).toEqual([]);
    expect(seen.at(-1)).toBe(poison?.id);
  });

  test('that nothing can mend is a dead letter at once', async () => {
    const name = newName();
    const { consumer } = noting(name, {
      from: 'start',
      handle: () => Promise.reject(new AppError('NOT_FOUND', 'gone', {})),
    });
    await publish(name);
    on.run(consumer);
    await expect.poll(() => letters(name), patience).toMatchObject([{ attempts: 1, error: { code: 'NOT_FOUND' } }]);
  });

  test('in time is one too, although its handler never ends', async () => {
    const name = newName();
    const { consumer, seen } = noting(name, {
      from: 'start',
      attempts: 1,
      timeoutMs: 50,
      handle: ({ aggregateId }) => (aggregateId === 'slow' ? new Promise<void>(() => undefined) : undefined),
    });
    await on.platform.events.publishBatch([newEvent(name, { aggregateId: 'slow' }), newEvent(name)]);
    on.run(consumer);
    await expect.poll(() => seen.length, patience).toBe(1);
    expect(await letters(name)).toMatchObject([{ error: { code: 'TIMEOUT' } }]);
  });

  test('with which processes die, one after another, is a dead letter too', async () => {
    const name = newName();
    const seen: string[] = [];
    await on.platform.events.publishBatch(['a', 'killer', 'b'].map((aggregateId) => newEvent(name, { aggregateId })));
    for (let process = 1; process <= 7; process += 1) {
      const { consumer } = noting(name, {
        from: 'start',
        timeoutMs: 100,
        handle: async ({ aggregateId }) => {
          seen.push(aggregateId);
          if (aggregateId !== 'killer') return;
          await running.kill();
          await new Promise<void>(() => undefined);
        },
      });
      const running = on.run(consumer);
      // Each after the one before was lost.
      await expect.poll(() => seen.filter((id) => id === 'killer').length, patience).toBe(Math.min(process, 6));
    }
    await expect.poll(() => seen.at(-1), patience).toBe('b');
    expect(await letters(name)).toMatchObject([{ event: { aggregateId: 'killer' }, error: { code: 'PROCESS_LOST' } }]);
    await expect.poll(async () => (await status(name)).lag, patience).toBe(0);
  });
});

describe('consumers', () => {
  test('are forgotten once nobody runs them', async () => {
    const name = newName();
    const runner = on.run(noting(name).consumer);
    await expect
      .poll(async () => (await on.platform.eventConsumers.list()).find((one) => one.name === name)?.holder, patience)
      .toBeTruthy();
    const { eventConsumers } = on.platform;
    await expect(eventConsumers.forget(name)).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
    await runner.close();
    await eventConsumers.forget(name);
    await expect(eventConsumers.get(name)).rejects.toMatchObject({ code: 'NOT_FOUND', details: { entityId: name } });
    await expect(eventConsumers.deadLetters(name)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(eventConsumers.redrive(name)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(eventConsumers.get('No Name')).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await expect(eventConsumers.redrive(name, ['x'])).rejects.toThrow('ids[0]');
  });

  const handle = (): void => undefined;
  test.each<[Partial<ConsumerOptions>, string]>([
    [{ name: 'No Name' }, 'name'],
    [{ types: [] }, 'types'],
    [{ types: ['A'] }, 'types[0]'],
    [{ batchSize: 501 }, 'batchSize'],
    [{ attempts: 0 }, 'attempts'],
    [{ timeoutMs: 0 }, 'timeoutMs'],
    [{ backoff: { delayMs: -1 } }, 'backoff.delayMs'],
    [{ handleBatch: handle }, 'handle'],
  ])('are refused with %o', (options, path) => {
    const consumer: ConsumerOptions = { name: 'a', types: ['*'], handle, ...options };
    expect(() => defineConsumer(consumer)).toThrow(`${path}:`);
  });
});

describe('after a dump was restored into another cluster', () => {
  test('events and positions that are ahead of it are brought back, and nothing is missed', async () => {
    const name = newName();
    const { consumer, seen } = noting(name);
    const runner = on.run(consumer);
    await begun(name);
    await publish(name, 2);
    await expect.poll(() => seen.length, patience).toBe(2);
    await runner.close();
    const waiting = await publish(name, 2);
    await database.query(
      `UPDATE treadle.events SET xid = (xid::text::bigint + 1000000)::text::xid8 WHERE type LIKE $1`,
      [`${name}.%`],
    );
    await database.query(
      `UPDATE treadle.event_consumers SET (position_xid, position_seq) = (
         SELECT xid, seq FROM treadle.events WHERE type LIKE $2 ORDER BY xid, seq OFFSET 1 LIMIT 1) WHERE name = $1`,
      [name, `${name}.%`],
    );
    // Written here, before anybody noticed.
    const newer = await publish(name, 1);
    const [rebased] = await database.query<{ events: number }>('SELECT treadle.rebase_events()::integer AS events');
    expect(rebased?.events).toBeGreaterThan(4);
    on.run(consumer);
    await expect.poll(() => seen.slice(2), patience).toEqual(idsOf([...waiting, ...newer]));
    expect(await database.query('SELECT treadle.events_are_ahead() AS ahead')).toEqual([{ ahead: false }]);
  });
});
