import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import { DomainEvent, type NewEvent } from './domain-event.ts';
import { fits, latestFirst, type EventCriteria, type EventStorage } from './event-storage.ts';

/** How a framework takes a test. */
export type TestFunction = (name: string, run: () => Promise<void>) => unknown;

/** What a test works with: a connected storage, and names that nobody else uses in it. */
interface Bench {
  readonly storage: EventStorage;
  readonly type: string;
  readonly aggregateId: string;
  /** A minute that is nobody else's, long ago. */
  readonly time: Date;
}

type Check = (bench: Bench) => Promise<void>;

const dayMs = 86_400_000;
const later = (time: Date, ms: number): Date => new Date(time.getTime() + ms);
const jsonOf = (event: DomainEvent | null): unknown => event?.toJSON() ?? null;
const idsOf = (events: readonly DomainEvent[]): readonly string[] => events.map(({ id }) => id);
const any = (below: number): number => randomBytes(4).readUInt32BE() % below;
const sameIds = (a: readonly string[], b: readonly (string | undefined)[]): void =>
  assert.deepEqual(new Set(a), new Set(b));
const rejects = (work: () => Promise<unknown>, path: string): Promise<void> =>
  assert.rejects(
    async () => work(),
    (error: unknown) =>
      error instanceof Error &&
      'code' in error &&
      error.code === 'VALIDATION_ERROR' &&
      new RegExp(`\\b${path}\\b`).test(error.message),
    `${path} should be refused by name, with VALIDATION_ERROR: parseCriteria does so`,
  );

const newBench = (storage: EventStorage): Bench => {
  const name = randomBytes(6).toString('hex');
  const minutes = randomBytes(4).readUInt32BE() % 50_000_000;
  return { storage, type: `suite.${name}`, aggregateId: name, time: new Date(Date.UTC(1800, 0) + minutes * 60_000) };
};

const eventOf = ({ type, aggregateId, time }: Bench, fields: Partial<NewEvent> = {}): DomainEvent =>
  DomainEvent.create({ type, aggregateId, occurredOn: time, ...fields });

const holdsEvents: Readonly<Record<string, Check>> = {
  'answers an event as it was saved': async (bench) => {
    const events = [
      eventOf(bench),
      eventOf(bench, {
        version: 7,
        workspaceId: uuidV7(),
        actor: 'mia',
        data: { text: 'ünïcode 🧵\n"quoted"', deep: { list: [1, -2.5, 1e21, true, null, {}] }, empty: '' },
      }),
      eventOf(bench, { version: 0, occurredOn: new Date('1912-06-23T01:02:03.004Z') }),
      eventOf(bench, { occurredOn: new Date('2999-12-31T23:59:59.999Z') }),
    ];
    for (const event of events) {
      await bench.storage.save(event);
      const found = await bench.storage.load(event.id);
      assert.ok(found instanceof DomainEvent);
      assert.deepEqual(jsonOf(found), jsonOf(event));
    }
  },
  'leaves an event as it is when its id is saved again': async (bench) => {
    const event = eventOf(bench, { data: { first: true } });
    await bench.storage.save(event);
    const again = eventOf(bench, { id: event.id, data: { first: false } });
    await bench.storage.save(again);
    assert.deepEqual(jsonOf(await bench.storage.load(event.id)), jsonOf(event));
    await bench.storage.saveBatch([again, again]);
    assert.deepEqual(jsonOf(await bench.storage.load(event.id)), jsonOf(event));
    assert.deepEqual(idsOf(await bench.storage.query({ eventType: bench.type })), [event.id]);
  },
  'answers null for an id that is not there, whatever it looks like': async ({ storage, type, aggregateId }) => {
    for (const id of [uuidV7(), '', 'x', `types:${type}`, `type:${type}`, `aggregates:${aggregateId}`, '*', 'a\0'])
      assert.equal(await storage.load(id), null);
  },
  'saves a batch, and none at all': async (bench) => {
    const events = Array.from({ length: 300 }, (_, place) => eventOf(bench, { data: { place } }));
    await bench.storage.saveBatch([]);
    await bench.storage.saveBatch(events);
    const found = await bench.storage.query({ aggregateId: bench.aggregateId, limit: 1_000 });
    assert.deepEqual(found.map(jsonOf), events.toSorted(latestFirst).map(jsonOf));
  },
  'forgets a deleted event everywhere': async (bench) => {
    const [event, other] = [eventOf(bench), eventOf(bench)];
    await bench.storage.saveBatch([event, other]);
    assert.equal(await bench.storage.delete(event.id), true);
    assert.equal(await bench.storage.delete(event.id), false);
    assert.equal(await bench.storage.delete(uuidV7()), false);
    assert.equal(await bench.storage.delete('x'), false);
    assert.equal(await bench.storage.load(event.id), null);
    for (const criteria of [{ eventType: bench.type }, { aggregateId: bench.aggregateId }])
      assert.deepEqual(idsOf(await bench.storage.query(criteria)), [other.id]);
    assert.equal((await bench.storage.getStats()).typeCounts[bench.type], 1);
  },
};

const awkwardIds = ['{}', '}', 'a', 'a}', 'a}:members', '{a}', 'a:b', '*', 'a*', '[a]', 'a\nb', ' ', "'", 'ü', 'A'];

const findsEvents: Readonly<Record<string, Check>> = {
  'finds events by type, aggregate and both': async (bench) => {
    const other = { type: `${bench.type}.other`, aggregateId: `${bench.aggregateId} other` };
    const events = [eventOf(bench), eventOf(bench, { type: other.type }), eventOf(bench, other)];
    const [own, typed, both] = idsOf(events);
    await bench.storage.saveBatch(events);
    const find = async (criteria: EventCriteria) => idsOf(await bench.storage.query(criteria));
    sameIds(await find({ eventType: bench.type }), [own]);
    sameIds(await find({ eventType: other.type }), [typed, both]);
    sameIds(await find({ aggregateId: bench.aggregateId }), [own, typed]);
    sameIds(await find({ eventType: other.type, aggregateId: other.aggregateId }), [both]);
    sameIds(await find({ eventType: bench.type, aggregateId: other.aggregateId }), []);
    sameIds(await find({ eventType: `${bench.type}.none` }), []);
  },
  'keeps aggregates apart, whatever their ids': async (bench) => {
    const ids = [...awkwardIds.map((id) => `${bench.aggregateId}${id}`), `${bench.aggregateId}${'x'.repeat(480)}`];
    const events = ids.map((aggregateId) => eventOf(bench, { aggregateId }));
    await bench.storage.saveBatch(events);
    for (const event of events)
      assert.deepEqual(idsOf(await bench.storage.query({ aggregateId: event.aggregateId })), [event.id]);
  },
  'answers the latest first, those of one time by id, and no more than the limit': async (bench) => {
    const at = (ms: number) => eventOf(bench, { occurredOn: later(bench.time, ms) });
    const events = [at(0), at(5), at(5), at(5), at(-1), at(dayMs), at(-dayMs)];
    await bench.storage.saveBatch(events);
    const sorted = idsOf(events.toSorted(latestFirst));
    for (const limit of [1, 2, 3, 4, 7, 1_000])
      assert.deepEqual(idsOf(await bench.storage.query({ eventType: bench.type, limit })), sorted.slice(0, limit));
  },
  'answers 100 where no limit is given': async (bench) => {
    await bench.storage.saveBatch(Array.from({ length: 120 }, () => eventOf(bench)));
    assert.equal((await bench.storage.query({ eventType: bench.type })).length, 100);
  },
  'finds what lies between two times, without them': async (bench) => {
    const hours = [-49, -25, -1, 0, 1, 25, 49];
    const events = hours.map((hour) => eventOf(bench, { occurredOn: later(bench.time, hour * 3_600_000) }));
    await bench.storage.saveBatch(events);
    const [after, before] = [later(bench.time, -25 * 3_600_000), later(bench.time, 25 * 3_600_000)];
    const inside = idsOf(events.slice(2, 5).toReversed());
    for (const by of [{ eventType: bench.type }, { aggregateId: bench.aggregateId }]) {
      assert.deepEqual(idsOf(await bench.storage.query({ ...by, after, before })), inside);
      assert.equal((await bench.storage.query({ ...by, after })).length, 5);
      assert.equal((await bench.storage.query({ ...by, before })).length, 5);
      assert.deepEqual(await bench.storage.query({ ...by, after: before, before: after }), []);
    }
    const everybody = await bench.storage.query({ after, before, limit: 1_000 });
    assert.deepEqual(idsOf(everybody.filter(({ type }) => type === bench.type)), inside);
  },
  'finds among all, over the whole of time': async (bench) => {
    const event = eventOf(bench, { occurredOn: new Date('9999-12-31T23:59:59.999Z') });
    await bench.storage.save(event);
    const found = await bench.storage.query({ after: new Date('0001-01-01T00:00:00Z'), limit: 1_000 });
    assert.ok(idsOf(found).includes(event.id));
    await bench.storage.delete(event.id);
  },
  'refuses criteria that do not fit, by name': async ({ storage }) => {
    await rejects(() => storage.query({ eventType: 'Not A Type' }), 'eventType');
    await rejects(() => storage.query({ aggregateId: '' }), 'aggregateId');
    await rejects(() => storage.query({ aggregateId: 'x'.repeat(10_240) }), 'aggregateId');
    await rejects(() => storage.query({ aggregateId: 'a\0' }), 'aggregateId');
    await rejects(() => storage.query({ after: new Date('never') }), 'after');
    await rejects(() => storage.query({ before: new Date(8.64e15) }), 'before');
    for (const limit of [0, -1, 1.5, 1_001, Number.NaN]) await rejects(() => storage.query({ limit }), 'limit');
  },
};

const knowsItself: Readonly<Record<string, Check>> = {
  'counts events by type': async (bench) => {
    const before = await bench.storage.getStats();
    assert.equal(before.typeCounts[bench.type], undefined);
    await bench.storage.saveBatch([eventOf(bench), eventOf(bench), eventOf(bench, { type: `${bench.type}.other` })]);
    const { totalEvents, typeCounts, connected } = await bench.storage.getStats();
    assert.equal(typeCounts[bench.type], 2);
    assert.equal(typeCounts[`${bench.type}.other`], 1);
    assert.equal(totalEvents, before.totalEvents + 3);
    assert.equal(connected, true);
  },
  'does as a model does, in any order of steps': async (bench) => {
    const model = new Map<string, DomainEvent>();
    const pool = Array.from({ length: 12 }, (_, index) =>
      eventOf(bench, {
        type: `${bench.type}.${index % 3}`,
        aggregateId: `${bench.aggregateId}${index % 4}`,
        occurredOn: later(bench.time, (index % 5) * 0.4 * dayMs),
      }),
    );
    for (let step = 0; step < 80; step += 1) {
      const events = pool.filter(() => any(4) === 0);
      const [one] = events;
      if (any(3) > 0) {
        await bench.storage.saveBatch(events);
        for (const event of events) model.set(event.id, event);
      } else if (one) {
        assert.equal(await bench.storage.delete(one.id), model.delete(one.id));
      }
      const criteria = {
        aggregateId: `${bench.aggregateId}${any(4)}`,
        ...(any(2) > 0 ? { eventType: `${bench.type}.${any(3)}` } : {}),
        ...(any(2) > 0 ? { after: later(bench.time, any(5) * 0.4 * dayMs) } : {}),
        ...(any(2) > 0 ? { before: later(bench.time, any(5) * 0.4 * dayMs) } : {}),
        limit: 1 + any(5),
      };
      const expected = [...model.values()].filter((event) => fits(event, criteria)).toSorted(latestFirst);
      assert.deepEqual(
        (await bench.storage.query(criteria)).map(jsonOf),
        expected.slice(0, criteria.limit).map(jsonOf),
      );
    }
  },
};

/**
 * What every storage of events has to hold, an app's own too: `eventStorageSuite(() => new MyStorage(), test)`, with the `test` of
 * node:test, vitest or another framework. `create` answers a storage that is not connected; it may answer one over the same place
 * each time, and other events may be there.
 */
export const eventStorageSuite = (create: () => EventStorage | Promise<EventStorage>, test: TestFunction): void => {
  test('says whether it is connected, and whether it answers', async () => {
    const storage = await create();
    assert.equal(storage.isConnected(), false);
    await storage.connect();
    assert.equal(storage.isConnected(), true);
    assert.equal(await storage.healthCheck(), true);
    await storage.disconnect();
    assert.equal(storage.isConnected(), false);
    await storage.connect();
    assert.equal(storage.isConnected(), true);
    await storage.disconnect();
  });
  for (const [name, check] of Object.entries({ ...holdsEvents, ...findsEvents, ...knowsItself })) {
    test(name, async () => {
      const storage = await create();
      await storage.connect();
      try {
        await check(newBench(storage));
      } finally {
        await storage.disconnect();
      }
    });
  }
};
