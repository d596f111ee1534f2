import { z } from 'zod';
import { validationError } from '../../../lib/errors/app-error.ts';
import { redisCodeOf, toAppError } from '../../../lib/errors/classify.ts';
import { parseOrThrow } from '../../../lib/errors/zod-faults.ts';
import { createLog, type Log } from '../../../lib/log/create-log.ts';
import type { RedisClient } from '../../../lib/redis/connect-redis.ts';
import { RedisConnection } from '../../../lib/redis/redis-connection.ts';
import { runScript } from '../../../lib/redis/redis-script.ts';
import { isUuid } from '../../../lib/text/uuid.ts';
import { DomainEvent } from '../domain-event.ts';
import {
  fits,
  parseCriteria,
  type EventCriteria,
  type EventStorage,
  type EventStorageStats,
  type ParsedCriteria,
} from '../event-storage.ts';
import { EventIndex, type IndexEntry } from './event-index.ts';
import { saveEvents } from './event-scripts.ts';

export interface RedisEventStorageOptions {
  /** A URL as REDIS_URL takes it: one server, a Cluster, sentinels; or a connection of the caller's, which it closes. */
  readonly redis: { readonly url: string } | RedisConnection;
  /** Between `{treadle:` and what follows in every key: `events` by default. */
  readonly keyPrefix?: string | undefined;
  /** How long an event is kept from when it was saved last: 7 days by default. */
  readonly eventTtlMs?: number | undefined;
  /** Without them there are no queries and no counts: true by default. */
  readonly enableIndexes?: boolean | undefined;
  readonly log?: Log | undefined;
}

const sevenDaysMs = 604_800_000;
const dayMs = 86_400_000;
const noTls = { ca: undefined, cert: undefined, key: undefined };
/** Of one step of a query, and of days and types that are gone through. */
const stepSize = { events: 200, names: 500 };
/** Enough to spread over the nodes of a Cluster. */
const parts = 64;
/** Of one script call, so that none is long. */
const mostAtOnce = 200;

const optionsShape = z.object({
  keyPrefix: z.string().regex(/^[\w:.-]{1,100}$/, 'must have 1 to 100 letters, digits, and : . _ -'),
  eventTtlMs: z.int().min(1).max(3_153_600_000_000),
});

/** As many days since 1970. */
const dayOf = (time: Date): number => Math.floor(time.getTime() / dayMs);
const dayText = (day: number): string => new Date(day * dayMs).toISOString().slice(0, -14);

/** Undefined for what is no event. */
const eventFrom = (data: string): DomainEvent | undefined => {
  try {
    return DomainEvent.fromJSON(JSON.parse(data));
  } catch {
    return undefined;
  }
};

const pushTo = <K, V>(groups: Map<K, V[]>, key: K, value: V): void => {
  const known = groups.get(key);
  if (known) known.push(value);
  else groups.set(key, [value]);
};

/** Events of one part share a hash tag, so that a batch takes no more commands than there are parts. */
const partOf = (id: string): string => (Number.parseInt(id.slice(-2), 16) % parts).toString(16);

/**
 * Events in Redis for as long as their time: each a hash, with sorted indexes by type, aggregate and day that lose what is over.
 * All keys begin with `{treadle:<prefix>:`, have an expiry, and none needs another in one command, so that a Cluster can spread
 * them. Never the record: what Redis loses is lost.
 */
export class RedisEventStorage implements EventStorage {
  readonly #open: () => RedisConnection;
  readonly #owned: boolean;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #indexed: boolean;
  readonly #log: Log;
  #connection: RedisConnection;
  #client: RedisClient | undefined;
  #corrupted = 0;

  /** @throws AppError VALIDATION_ERROR naming an option that does not fit. */
  constructor({
    redis,
    enableIndexes = true,
    log = createLog({ level: 'silent' }),
    ...rest
  }: RedisEventStorageOptions) {
    const { keyPrefix, eventTtlMs } = parseOrThrow(
      optionsShape,
      { keyPrefix: rest.keyPrefix ?? 'events', eventTtlMs: rest.eventTtlMs ?? sevenDaysMs },
      'the storage',
    );
    this.#owned = !(redis instanceof RedisConnection);
    this.#open = () =>
      redis instanceof RedisConnection
        ? redis
        : new RedisConnection({ variable: 'REDIS_URL', url: redis.url, tls: noTls }, log);
    this.#connection = this.#open();
    this.#prefix = `treadle:${keyPrefix}`;
    this.#ttlMs = eventTtlMs;
    this.#indexed = enableIndexes;
    this.#log = log;
  }

  /** How often something was found at the key of an event that is none: a miss each time. */
  get corruptedReads(): number {
    return this.#corrupted;
  }

  save(event: DomainEvent): Promise<void> {
    return this.saveBatch([event]);
  }

  /** Indexes first: an entry without its event is harmless, an event without its entries would not be found. */
  saveBatch(events: readonly DomainEvent[]): Promise<void> {
    return this.#ask(async (client) => {
      if (this.#indexed) await this.#index(client, events);
      const byPart = new Map<string, DomainEvent[]>();
      for (const event of events) pushTo(byPart, partOf(event.id), event);
      await Promise.all(Array.from(byPart.values(), (part) => this.#save(client, part)));
    });
  }

  load(eventId: string): Promise<DomainEvent | null> {
    const id = eventId.toLowerCase();
    return isUuid(id) ? this.#ask((client) => this.#load(client, id)) : Promise.resolve(null);
  }

  delete(eventId: string): Promise<boolean> {
    const id = eventId.toLowerCase();
    if (!isUuid(id)) return Promise.resolve(false);
    return this.#ask(async (client) => {
      const event = await this.#load(client, id);
      const removed = await client.del(this.#keyOf(id));
      if (event && this.#indexed) {
        const indexes = [this.#types(client, event.type), this.#aggregate(client, event.aggregateId)];
        indexes.push(this.#day(client, dayOf(event.occurredOn)));
        await Promise.all(indexes.map((index) => index.remove(id)));
      }
      return event !== null && removed === 1;
    });
  }

  async query(criteria: EventCriteria): Promise<readonly DomainEvent[]> {
    const parsed = parseCriteria(criteria);
    this.#needIndexes('query');
    return this.#ask(async (client) => {
      const found = new Map<string, DomainEvent>();
      for await (const ids of this.#candidates(client, parsed)) {
        const events = await Promise.all(ids.map((id) => this.#load(client, id)));
        for (const event of events) if (event && fits(event, parsed)) found.set(event.id, event);
        if (found.size >= parsed.limit) break;
      }
      return [...found.values()].slice(0, parsed.limit);
    });
  }

  async getStats(): Promise<EventStorageStats> {
    this.#needIndexes('getStats');
    return this.#ask(async (client) => {
      const counts: (readonly [string, number])[] = [];
      for await (const types of this.#names(client, 'types').descend({ from: '-inf', to: '+inf' }, stepSize.names)) {
        const counted = types.map(async (type) => [type, await this.#types(client, type).count()] as const);
        counts.push(...(await Promise.all(counted)));
      }
      const present = counts.filter(([, events]) => events > 0).toSorted(([a], [b]) => (a < b ? -1 : 1));
      return {
        totalEvents: present.reduce((sum, [, events]) => sum + events, 0),
        typeCounts: Object.fromEntries(present),
        connected: this.isConnected(),
      };
    });
  }

  async connect(): Promise<void> {
    this.#client = await this.#connection.client();
  }

  async disconnect(): Promise<void> {
    this.#client = undefined;
    if (!this.#owned) return;
    await this.#connection.close();
    this.#connection = this.#open();
  }

  isConnected(): boolean {
    return this.#client?.status === 'ready';
  }

  async healthCheck(): Promise<boolean> {
    try {
      return await this.#ask(async (client) => (await client.ping()) === 'PONG');
    } catch {
      return false;
    }
  }

  #keyOf(id: string): string {
    return `{${this.#prefix}:event:${partOf(id)}}:${id}`;
  }

  async #save(client: RedisClient, events: readonly DomainEvent[]): Promise<void> {
    for (let from = 0; from < events.length; from += mostAtOnce) {
      const some = events.slice(from, from + mostAtOnce);
      const args = some.flatMap((event) => {
        const { type, occurredOn, aggregateId, version } = event;
        return [JSON.stringify(event), type, occurredOn.toISOString(), aggregateId, version ?? ''];
      });
      const keys = some.map(({ id }) => this.#keyOf(id));
      await runScript(client, saveEvents, keys, [this.#ttlMs, ...args]);
    }
  }

  #types(client: RedisClient, type: string): EventIndex {
    return new EventIndex(client, `${this.#prefix}:type:${type}`);
  }

  #aggregate(client: RedisClient, id: string): EventIndex {
    return new EventIndex(client, `${this.#prefix}:aggregate:${id}`);
  }

  #day(client: RedisClient, day: number): EventIndex {
    return new EventIndex(client, `${this.#prefix}:date:${dayText(day)}`);
  }

  /** Which types, or which days, there are. */
  #names(client: RedisClient, kind: 'types' | 'dates'): EventIndex {
    return new EventIndex(client, `${this.#prefix}:${kind}`);
  }

  async #index(client: RedisClient, events: readonly DomainEvent[]): Promise<void> {
    const [types, aggregates] = [new Map<string, IndexEntry[]>(), new Map<string, IndexEntry[]>()];
    const days = new Map<number, IndexEntry[]>();
    for (const { id, type, aggregateId, occurredOn } of events) {
      const entry = { score: occurredOn.getTime(), member: id };
      pushTo(types, type, entry);
      pushTo(aggregates, aggregateId, entry);
      pushTo(days, dayOf(occurredOn), entry);
    }
    await Promise.all([
      this.#names(client, 'types').add(
        [...types.keys()].map((member) => ({ score: 0, member })),
        this.#ttlMs,
      ),
      this.#names(client, 'dates').add(
        [...days.keys()].map((score) => ({ score, member: String(score) })),
        this.#ttlMs,
      ),
      ...Array.from(types, ([type, entries]) => this.#types(client, type).add(entries, this.#ttlMs)),
      ...Array.from(aggregates, ([id, entries]) => this.#aggregate(client, id).add(entries, this.#ttlMs)),
      ...Array.from(days, ([day, entries]) => this.#day(client, day).add(entries, this.#ttlMs)),
    ]);
  }

  /** Ids in the order of a query, from the index that has the fewest. */
  async *#candidates(client: RedisClient, criteria: ParsedCriteria): AsyncGenerator<readonly string[]> {
    const { eventType, aggregateId, after, before } = criteria;
    const range = { from: after ? `(${after.getTime()}` : '-inf', to: before ? `(${before.getTime()}` : '+inf' };
    const indexes: EventIndex[] = [];
    if (eventType !== undefined) indexes.push(this.#types(client, eventType));
    if (aggregateId !== undefined) indexes.push(this.#aggregate(client, aggregateId));
    const [first, second] = indexes;
    if (first) {
      const [ofFirst = 0, ofSecond = 0] = second ? await Promise.all([first.count(), second.count()]) : [];
      yield* (second && ofSecond < ofFirst ? second : first).descend(range, stepSize.events);
      return;
    }
    const days = { from: after ? dayOf(after) : '-inf', to: before ? dayOf(before) : '+inf' };
    for await (const found of this.#names(client, 'dates').descend(days, stepSize.names)) {
      for (const day of found) yield* this.#day(client, Number(day)).descend(range, stepSize.events);
    }
  }

  async #load(client: RedisClient, id: string): Promise<DomainEvent | null> {
    const data = await client.hget(this.#keyOf(id), 'data').catch((error: unknown) => {
      if (redisCodeOf(error) === 'WRONGTYPE') return '';
      throw error;
    });
    if (data === null) return null;
    const event = eventFrom(data);
    if (event?.id === id) return event;
    this.#corrupted += 1;
    this.#log.warn({ event: 'events.corrupted-in-redis', eventId: id });
    return null;
  }

  async #ask<T>(work: (client: RedisClient) => Promise<T>): Promise<T> {
    try {
      return await work(await this.#connection.client());
    } catch (error) {
      throw toAppError(error);
    }
  }

  #needIndexes(what: string): void {
    if (this.#indexed) return;
    throw validationError('the storage', [{ path: 'enableIndexes', message: `is needed for ${what}` }]);
  }
}
