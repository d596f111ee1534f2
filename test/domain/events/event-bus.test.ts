import { describe, expect, test } from 'vitest';
import { DomainEvent, type NewEvent } from '../../../src/domain/events/domain-event.ts';
import { StorageMode } from '../../../src/domain/events/event-cache.ts';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';
import { useDatabase } from '../../services/database.ts';
import { MemoryEventStorage } from './memory-event-storage.ts';
import { idsOf, newEvent, newName, useEvents } from './use-events.ts';

const database = useDatabase();
const on = useEvents(database);
const publish = (event: NewEvent) => on.platform.events.publish(event);
const rowsOf = (type: string) =>
  database.query<{ id: string }>('SELECT id FROM treadle.events WHERE type LIKE $1 ORDER BY xid, seq', [`${type}.%`]);
const patience = { timeout: 30_000, interval: 10 };

/** Subscribes and answers what is heard. */
const listen = async (...types: readonly string[]): Promise<DomainEvent[]> => {
  const heard: DomainEvent[] = [];
  await on.platform.events.subscribe(types, (event) => void heard.push(event));
  return heard;
};

describe('publishing', () => {
  test('records an event with the time of the server, and answers it', async () => {
    const name = newName();
    const event = await publish(newEvent(name, { version: 3, data: { paid: 12.5 }, actor: 'mia' }));
    expect(event).toBeInstanceOf(DomainEvent);
    expect(event.toJSON()).toEqual({
      id: expect.any(String),
      type: `${name}.happened`,
      occurredOn: expect.stringMatching(/Z$/),
      aggregateId: 'a',
      version: 3,
      data: { paid: 12.5 },
      workspaceId: null,
      actor: 'mia',
    });
    expect(DomainEvent.fromJSON(event.toJSON())).toEqual(event);
    expect(await on.platform.events.getEvent(event.id)).toEqual(event);
    expect((await on.platform.events.list({ type: event.type })).items).toEqual([event]);
    const old = new Date('2001-02-03T04:05:06.007Z');
    expect((await publish(newEvent(name, { occurredOn: old }))).occurredOn).toEqual(old);
  });

  test('in a transaction happens with it or not at all, and takes its actor', async () => {
    const name = newName();
    const heard = await listen(`${name}.*`);
    const { events, postgres } = on.platform;
    const failed = postgres.transaction(async (tx) => {
      await events.publish(newEvent(name), { tx });
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    const recorded = await postgres.transaction(async (tx) => {
      await tx.query(`SET LOCAL treadle.actor = 'mia'`);
      return events.publishBatch([newEvent(name), newEvent(name)], { tx });
    });
    await expect.poll(() => heard.length, patience).toBe(2);
    expect(idsOf(heard)).toEqual(idsOf(recorded));
    expect(heard[0]?.actor).toBe('mia');
    expect(await rowsOf(name)).toHaveLength(2);
  });

  test('a batch keeps its order, and is all or none', async () => {
    const name = newName();
    const batch = Array.from({ length: 1_000 }, (_, place) => newEvent(name, { data: { place } }));
    const published = await on.platform.events.publishBatch(batch);
    expect(published.map(({ data }) => data['place'])).toEqual(batch.map((_, place) => place));
    expect(idsOf(await rowsOf(name))).toEqual(idsOf(published));
    expect(await on.platform.events.publishBatch([])).toEqual([]);
    await expect(on.platform.events.publishBatch([...batch, newEvent(name)])).rejects.toThrow('at most 1000');
  });

  test('the same id again is the same event; with another content it is refused, and nothing is published', async () => {
    const name = newName();
    const event = newEvent(name, { id: uuidV7(), data: { a: 1, b: [2] }, workspaceId: uuidV7() });
    const first = await publish(event);
    expect(await publish({ ...event, data: { b: [2], a: 1 } })).toEqual(first);
    for (const other of [{ data: {} }, { aggregateId: 'b' }, { workspaceId: null }, { version: 1 }]) {
      const clash = on.platform.events.publishBatch([newEvent(name), { ...event, ...other }]);
      await expect(clash).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', details: { entityId: event.id } });
    }
    expect(idsOf(await rowsOf(name))).toEqual([first.id]);
  });

  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  test.each<[Record<string, unknown>, string]>([
    [{ type: 'nodots' }, 'type'],
    [{ type: 'Order.Paid' }, 'type'],
    [{ type: `a.${'b'.repeat(300)}` }, 'type'],
    [{ type: 'order.*' }, 'type'],
    [{ type: 'knowledge.created' }, 'type'],
    [{ aggregateId: 'x'.repeat(10_240) }, 'aggregateId'],
    [{ aggregateId: '' }, 'aggregateId'],
    [{ aggregateId: 'a\0b' }, 'aggregateId'],
    [{ data: { at: { big: 10n } } }, 'data.at.big'],
    [{ data: cyclic }, 'data.self'],
    [{ data: { when: new Date() } }, 'data.when'],
    [{ data: { text: 'a\0' } }, 'data.text'],
    [{ data: { much: 'x'.repeat(70_000) } }, 'data'],
    [{ data: [1] }, 'data'],
    [{ version: -1 }, 'version'],
    [{ id: 'types:order.paid' }, 'id'],
    [{ workspaceId: 'here' }, 'workspaceId'],
    [{ occurredOn: new Date('never') }, 'occurredOn'],
    [{ occurredOn: new Date(8.64e15) }, 'occurredOn'],
    [{ colour: 'red' }, 'colour'],
  ])('%# refuses %o, naming the field', async (fields, path) => {
    const event = newEvent(newName(), fields);
    const faults = {
      code: 'VALIDATION_ERROR',
      details: { faults: [expect.objectContaining({ path: expect.stringContaining(path) })] },
    };
    await expect(publish(event)).rejects.toMatchObject(faults);
    await expect(on.platform.events.publishBatch([newEvent(newName()), event])).rejects.toMatchObject({
      details: { faults: [{ path: expect.stringContaining(`events[1].${path}`), index: 1 }] },
    });
  });
});

describe('a subscription', () => {
  test('is told of the types it names, by patterns too, whoever wrote the row', async () => {
    const name = newName();
    const [exact, all, ended] = [
      await listen(`${name}.a`),
      await listen(`${name}.*`),
      await listen('*.ended', `${name}.b`),
    ];
    for (const type of ['a', 'b', 'a.b', 'run.ended'])
      await database.query('INSERT INTO treadle.events (type, aggregate_id) VALUES ($1, $2)', [`${name}.${type}`, 'x']);
    await expect.poll(() => ended.length, patience).toBe(2);
    await expect.poll(() => all.length, patience).toBe(4);
    const typesOf = (events: readonly DomainEvent[]) => events.map(({ type }) => type.slice(name.length + 1));
    expect([exact, all, ended].map(typesOf)).toEqual([['a'], ['a', 'b', 'a.b', 'run.ended'], ['b', 'run.ended']]);
  });

  test("hears of the changes that Treadle's triggers record", async () => {
    const heard = await listen('knowledge.*', 'tag.*');
    const workspace = await on.platform.workspaces.create({ name: newName() });
    await on.platform.knowledge.create(workspace.id, { title: 'Warp', content: 'and weft', tags: ['yarn'] });
    await expect
      .poll(() => heard.map(({ type }) => type).toSorted(), patience)
      .toEqual(['knowledge.created', 'tag.created']);
    expect(heard[0]?.workspaceId).toBe(workspace.id);
  });

  test('goes on after a handler threw, which concerns no other one and is counted', async () => {
    const name = newName();
    const seen: unknown[] = [];
    await on.platform.events.subscribe(`${name}.*`, ({ data }) => {
      seen.push(data['place']);
      if (data['place'] === 0) throw new Error('cannot');
      return data['place'] === 1 ? Promise.reject(new Error('cannot either')) : undefined;
    });
    const other = await listen(`${name}.*`);
    await on.platform.events.publishBatch([0, 1, 2].map((place) => newEvent(name, { data: { place } })));
    await expect.poll(() => seen, patience).toEqual([0, 1, 2]);
    await expect.poll(() => other.length, patience).toBe(3);
    expect(await on.platform.meter.expose()).toContain(`treadle_event_handler_errors_total{types="${name}.*"} 2`);
  });

  test('that is slow waits for nobody, misses nothing, and holds nobody up', async () => {
    const name = newName();
    const { promise: goOn, resolve } = Promise.withResolvers<void>();
    const slow: string[] = [];
    await on.platform.events.subscribe(`${name}.*`, async ({ id }) => {
      await goOn;
      slow.push(id);
    });
    const quick = await listen(`${name}.*`);
    const published: DomainEvent[] = [];
    // More than the process keeps in memory.
    for (let batch = 0; batch < 3; batch += 1)
      published.push(...(await on.platform.events.publishBatch(Array.from({ length: 1_000 }, () => newEvent(name)))));
    await expect.poll(() => quick.length, patience).toBe(3_000);
    resolve();
    await expect.poll(() => slow.length, patience).toBe(3_000);
    expect(slow).toEqual(idsOf(published));
  });

  test('ends when it is told to, and for one workspace hears of no other', async () => {
    const [name, workspaceId] = [newName(), uuidV7()];
    const [heard, own]: string[][] = [[], []];
    const end = await on.platform.events.subscribe(`${name}.*`, ({ id }) => heard?.push(id));
    await on.platform.events.subscribe(`${name}.*`, ({ id }) => own?.push(id), { workspaceId });
    const first = await publish(newEvent(name, { workspaceId }));
    await expect.poll(() => heard, patience).toEqual([first.id]);
    end();
    await publish(newEvent(name, { workspaceId: uuidV7() }));
    const last = await publish(newEvent(name, { workspaceId }));
    await expect.poll(() => own, patience).toEqual([first.id, last.id]);
    expect(heard).toEqual([first.id]);
  });

  test.each(['', 'Order', 'a b', '%', 'x'.repeat(201)])('refuses the type %j', async (type) => {
    await expect(on.platform.events.subscribe(type, () => undefined)).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
    });
  });

  test('takes a pattern of many stars without effort', async () => {
    const heard = await listen('*a'.repeat(100));
    const name = `a.${'a'.repeat(190)}b`;
    await database.query('INSERT INTO treadle.events (type, aggregate_id) VALUES ($1, $2)', [name, 'x']);
    const marker = newName();
    const marked = await listen(`${marker}.*`);
    await publish(newEvent(marker));
    await expect.poll(() => marked.length, patience).toBe(1);
    expect(heard).toEqual([]);
  });
});

describe('the history', () => {
  test('is of one type or of all, the latest first', async () => {
    const name = newName();
    const published = [
      await publish(newEvent(name)),
      await publish(newEvent(name)),
      await publish(newEvent(newName())),
    ];
    const { events } = on.platform;
    expect(idsOf(await events.getEventHistory(`${name}.happened`))).toEqual(idsOf(published.slice(0, 2)).toReversed());
    expect(idsOf(await events.getEventHistory(undefined, 2))).toEqual(idsOf(published.slice(1)).toReversed());
    await expect(events.getEventHistory('x')).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await expect(events.getEventHistory(undefined, 1_001)).rejects.toThrow('limit');
  });

  test("is kept in an app's own storage too, which may fail", async () => {
    const name = newName();
    const storage = new MemoryEventStorage();
    const bus = on.platform.events.withCache({ storage });
    const event = await bus.publish(newEvent(name));
    expect(await storage.load(event.id)).toEqual(event);
    expect(bus.getCacheStats()).toMatchObject({ mode: StorageMode.WRITE_THROUGH, size: 1, maxSize: 1_000 });

    const away = () => Promise.reject(new Error('away'));
    const failing = Object.assign(new MemoryEventStorage(), { saveBatch: away, query: away });
    const patient = on.platform.events.withCache({ storage: failing });
    const kept = await patient.publish(newEvent(name));
    expect(idsOf(await patient.getEventHistory())).toEqual([kept.id]);
    expect(patient.getCacheStats()).toMatchObject({ storageErrors: 2, size: 1 });
    const strict = on.platform.events.withCache({ storage: failing, cacheFallbackToStorage: false });
    await expect(strict.publish(newEvent(name))).rejects.toThrow('away');
    // It is recorded all the same.
    expect(await rowsOf(name)).toHaveLength(3);
    const inMemory = on.platform.events.withCache({ storageMode: StorageMode.MEMORY, cacheSize: 1 });
    const [, last] = await inMemory.publishBatch([newEvent(name), newEvent(name)]);
    expect(await inMemory.getEventHistory()).toEqual([last]);
  });
});
