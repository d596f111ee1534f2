import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Pool } from 'pg';
import { defineConsumer, type EventConsumer } from '../src/domain/events/consumers/define-consumer.ts';
import { DomainEvent } from '../src/domain/events/domain-event.ts';
import { RedisEventStorage } from '../src/domain/events/redis/redis-event-storage.ts';
import { loadConfig } from '../src/lib/config/load-config.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { migrateAll } from '../src/queues/migrations/migrate-all.ts';
import { createPlatform, type Platform } from '../src/platform.ts';
import { startEventConsumers } from '../src/workers/event-consumers.ts';
import type { BenchOptions } from './benchmarks.ts';
import { describeMachine, load } from './machine.ts';
import { compare, percentile, perSecond, type Standing, type Turn } from './measure.ts';
import { report, type Promised, type Row } from './report.ts';
import { startServers } from './servers.ts';

interface Sizes {
  readonly rounds: number;
  readonly batches: number;
  readonly single: number;
  readonly latencies: number;
  readonly consumed: number;
}

const fullSizes: Sizes = { rounds: 5, batches: 10, single: 1_000, latencies: 2_000, consumed: 50_000 };
const shortSizes: Sizes = { rounds: 1, batches: 2, single: 200, latencies: 200, consumed: 4_000 };
const batchSize = 1_000;
const sevenDaysMs = 604_800_000;

const newEvents = (count: number): readonly DomainEvent[] =>
  Array.from({ length: count }, (_, index) =>
    DomainEvent.create({
      type: 'order.paid',
      aggregateId: `order ${index % 50}`,
      version: index,
      data: { cents: index, currency: 'EUR', note: 'Warp and weft. '.repeat(6) },
    }),
  );
/** What publishers write: the record gives it an id. */
const withoutIds = (events: readonly DomainEvent[]) =>
  events.map(({ type, aggregateId, version, data }) => ({ type, aggregateId, version, data }));

class EventsBench {
  readonly rows: Row[] = [];
  readonly #platform: Platform;
  readonly #plain: Pool;
  readonly #sizes: Sizes;

  constructor(platform: Platform, plain: Pool, sizes: Sizes) {
    this.#platform = platform;
    this.#plain = plain;
    this.#sizes = sizes;
  }

  async postgres(): Promise<void> {
    const { batches, single } = this.#sizes;
    const { events: bus } = this.#platform;
    const events = newEvents(batchSize);
    const [inputs, singles] = [withoutIds(events), withoutIds(events.slice(0, single))];
    const columns = ['type', 'aggregate_id', 'version', 'data'];
    const places = events.map((_, row) => `(${columns.map((__, column) => `$${row * 4 + column + 1}`).join(', ')})`);
    const insert = `INSERT INTO treadle.events (${columns.join(', ')}) VALUES`;
    const valuesOf = ({ type, aggregateId, version, data }: (typeof inputs)[number]) => [
      type,
      aggregateId,
      version,
      JSON.stringify(data),
    ];
    const rows = inputs.flatMap(valuesOf);
    const many = await this.#compare('publishBatch in Postgres', [
      {
        name: 'Treadle',
        run: () => perSecond(batches * batchSize, () => times(batches, () => bus.publishBatch(inputs))),
      },
      {
        name: 'plain pg',
        run: () =>
          perSecond(batches * batchSize, () =>
            times(batches, () => this.#plain.query(`${insert} ${places.join(', ')} RETURNING id, occurred_on`, rows)),
          ),
      },
    ]);
    const one = await this.#compare('publish, one by one, in Postgres', [
      { name: 'Treadle', run: () => perSecond(singles.length, () => each(singles, (event) => bus.publish(event))) },
      {
        name: 'plain pg',
        run: () =>
          perSecond(singles.length, () =>
            each(singles, (event) =>
              this.#plain.query(`${insert} ${places[0]} RETURNING id, occurred_on`, valuesOf(event)),
            ),
          ),
      },
    ]);
    this.#gain('publishBatch by one by one, Postgres', many, one);
  }

  async redis(url: string): Promise<void> {
    const { batches, single } = this.#sizes;
    const storage = new RedisEventStorage({ redis: { url } });
    await storage.connect();
    const raw = new Redis(url);
    const treadleBatch = async (): Promise<number> => {
      await raw.flushdb();
      const all = Array.from({ length: batches }, () => newEvents(batchSize));
      return perSecond(batches * batchSize, () => each(all, (events) => storage.saveBatch(events)));
    };
    const rawBatch = async (): Promise<number> => {
      await raw.flushdb();
      const all = Array.from({ length: batches }, () => newEvents(batchSize));
      return perSecond(batches * batchSize, () => each(all, (events) => saveRaw(raw, events)));
    };
    const many = await this.#compare('saveBatch in Redis', [
      { name: 'Treadle', run: treadleBatch },
      { name: 'raw ioredis', run: rawBatch },
    ]);
    const one = await this.#compare('save, one by one, in Redis', [
      { name: 'Treadle', run: () => perSecond(single, () => each(newEvents(single), (event) => storage.save(event))) },
      {
        name: 'raw ioredis',
        run: () => perSecond(single, () => each(newEvents(single), (event) => saveRaw(raw, [event]))),
      },
    ]);
    this.#gain('saveBatch by one by one, Redis', many, one);
    raw.disconnect();
    await storage.disconnect();
  }

  /** From the moment that a publisher knows of its commit to the handler's. */
  async latency(): Promise<void> {
    const { events: bus } = this.#platform;
    const type = 'bench.latency';
    const committedAt = new Map<string, number>();
    const handledAt = new Map<string, number>();
    const { promise: all, resolve } = Promise.withResolvers<void>();
    const end = await bus.subscribe(type, ({ id }) => {
      handledAt.set(id, performance.now());
      if (handledAt.size === this.#sizes.latencies) resolve();
    });
    for (let sent = 0; sent < this.#sizes.latencies; sent += 1) {
      const id = randomUUID();
      await this.#plain.query('SELECT 1');
      const event = await bus.publish({ id, type, aggregateId: 'a' });
      committedAt.set(event.id, performance.now());
      await delay(2);
    }
    await all;
    end();
    const latencies = Array.from(committedAt, ([id, at]) => Math.max(0, (handledAt.get(id) ?? Number.NaN) - at));
    this.#add('commit to handler, p50', 'ms', percentile(latencies, 0.5));
    this.#add('commit to handler, p99', 'ms', percentile(latencies, 0.99));
  }

  async consumers(): Promise<void> {
    const { consumed } = this.#sizes;
    await this.#plain.query('TRUNCATE treadle.events');
    for (let from = 0; from < consumed; from += batchSize)
      await this.#platform.events.publishBatch(withoutIds(newEvents(batchSize)));
    await this.#plain.query('VACUUM ANALYZE treadle.events');
    await this.#compare('a consumer, one event after another', [
      { name: 'Treadle', run: () => this.#consume(consumed, (handle) => ({ handle })) },
      { name: 'plain pg', run: () => perSecond(consumed, () => this.#readPlainly()) },
    ]);
    await this.#compare('a consumer of batches of 500', [
      {
        name: 'Treadle',
        run: () =>
          this.#consume(consumed, (handle) => ({ batchSize: 500, handleBatch: (events) => events.forEach(handle) })),
      },
      { name: 'plain pg', run: () => perSecond(consumed, () => this.#readPlainly(500)) },
    ]);
  }

  /** All events, from the start, by a consumer of its own. */
  async #consume(
    count: number,
    how: (
      handle: () => void,
    ) => Pick<Parameters<typeof defineConsumer>[0], 'batchSize'> &
      ({ handle: () => void } | { handleBatch: (events: readonly DomainEvent[]) => void }),
  ): Promise<number> {
    const { promise: all, resolve } = Promise.withResolvers<void>();
    let handled = 0;
    const consumer: EventConsumer = defineConsumer({
      name: `bench-${randomUUID()}`,
      types: ['order.*'],
      from: 'start',
      ...how(() => {
        handled += 1;
        if (handled === count) resolve();
      }),
    });
    const startedAt = performance.now();
    const running = startEventConsumers(this.#platform, [consumer]);
    await all;
    const rate = (count * 1_000) / (performance.now() - startedAt);
    await running.close(1_000);
    return rate;
  }

  /** A loop that somebody would write: rows in order, and the position written after each batch. */
  async #readPlainly(limit = 100): Promise<void> {
    await this.#plain.query(
      `CREATE TABLE IF NOT EXISTS plain_position (seq bigint); TRUNCATE plain_position; INSERT INTO plain_position VALUES (0)`,
    );
    for (let seq = '0'; ;) {
      const { rows } = await this.#plain.query<{ seq: string }>(
        `SELECT seq::text AS seq, id, type, occurred_on, aggregate_id, version, data, workspace_id, actor FROM treadle.events
         WHERE (xid, seq) > ((SELECT xid FROM treadle.events WHERE seq >= $1 ORDER BY xid, seq LIMIT 1), $1::bigint) AND type LIKE 'order.%'
         ORDER BY xid, seq LIMIT ${limit}`,
        [seq],
      );
      const last = rows.at(-1);
      if (!last) return;
      seq = last.seq;
      await this.#plain.query('UPDATE plain_position SET seq = $1', [seq]);
    }
  }

  async #compare(measure: string, turns: readonly Turn[], promised?: Promised): Promise<Standing | undefined> {
    const standings = await compare(this.#sizes.rounds, turns);
    this.rows.push({ measure, unit: '/s', standings, ...(promised ? { promised } : {}) });
    return standings[0];
  }

  #gain(measure: string, many: Standing | undefined, one: Standing | undefined): void {
    this.#add(measure, 'times', (many?.value ?? Number.NaN) / (one?.value ?? Number.NaN), { of: 'value', atLeast: 10 });
  }

  #add(measure: string, unit: string, value: number, promised?: Promised): void {
    this.rows.push({ measure, unit, standings: [{ name: 'Treadle', value }], ...(promised ? { promised } : {}) });
  }
}

const times = async (count: number, work: () => Promise<unknown>): Promise<void> => {
  for (let done = 0; done < count; done += 1) await work();
};
const each = async <T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> => {
  for (const one of all) await work(one);
};

/** The commands that a hash with three indexes takes at least, in one pipeline; nothing ever leaves these indexes. */
const saveRaw = async (redis: Redis, events: readonly DomainEvent[]): Promise<void> => {
  const pipeline = redis.pipeline();
  for (const event of events) {
    const { id, type, aggregateId, occurredOn, version } = event;
    const time = occurredOn.getTime();
    const fields = { data: JSON.stringify(event), type, occurredOn: occurredOn.toISOString(), aggregateId };
    pipeline.hset(`raw:${id}`, { ...fields, version: version ?? '' }).pexpire(`raw:${id}`, sevenDaysMs);
    for (const index of [
      `raw:type:${type}`,
      `raw:aggregate:${aggregateId}`,
      `raw:date:${occurredOn.toISOString().slice(0, 10)}`,
    ])
      pipeline.zadd(index, time, id).pexpire(index, sevenDaysMs);
  }
  await pipeline.exec();
};

/** Publishing, storing, telling and consuming events, in servers of its own. */
export const benchEvents = async ({ short }: BenchOptions): Promise<void> => {
  const loadBefore = load();
  const servers = await startServers();
  const machine = await describeMachine(servers);
  const log = createLog({ level: 'warn' });
  const { postgresUrl: url } = servers;
  await migrateAll(url, log);
  const platform = await createPlatform(loadConfig({ DATABASE_URL: url }), log, {
    url,
    directUrl: url,
    embedded: false,
    close: () => Promise.resolve(),
  });
  const plain = new Pool({ connectionString: url, max: 5 });
  const bench = new EventsBench(platform, plain, short ? shortSizes : fullSizes);
  await bench.postgres();
  if (servers.redisUrl !== undefined) await bench.redis(servers.redisUrl);
  await bench.latency();
  await bench.consumers();
  await plain.end();
  await platform.close();
  await servers.close();
  report({ name: 'events', short, machine, loadBefore, rows: bench.rows });
};
