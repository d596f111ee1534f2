import { z } from 'zod';
import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Page, PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Family } from '../../lib/telemetry/meter.ts';
import type { Count } from '../../lib/telemetry/metric-values.ts';
import { eventTime, readNewEvent, type DomainEvent, type NewEvent, type ParsedEvent } from './domain-event.ts';
import type { EventAnnouncer } from './event-announcer.ts';
import { EventCache, StorageMode, type EventCacheStats } from './event-cache.ts';
import type { EventLog } from './event-log.ts';
import type { EventStorage } from './event-storage.ts';
import { eventPatterns, eventType } from './event-type.ts';
import { followEvents } from './follow-events.ts';
import type { Position } from './position.ts';
import type { EventRecord } from './postgres/event-record.ts';
import type { EventFilter, Followed, Stretch } from './types.ts';

/** What the buses of a process share. */
export interface EventBusParts {
  readonly record: EventRecord;
  readonly events: EventLog;
  readonly announcer: EventAnnouncer;
  readonly published: Count;
  readonly handlerErrors: Family<Count>;
  readonly log: Log;
}

export interface PublishOptions {
  /** The caller's open transaction: the events exist if and only if it commits. */
  readonly tx?: Queryable | undefined;
}

/** `signal`: aborted when the subscription ends. */
export type EventHandler = (event: DomainEvent, context: { readonly signal: AbortSignal }) => unknown;

export interface CachedBusOptions {
  /** True by default. */
  readonly enableCache?: boolean | undefined;
  /** 1,000 by default. */
  readonly cacheSize?: number | undefined;
  /** 5 min by default. */
  readonly cacheTtlMs?: number | undefined;
  readonly storageMode?: StorageMode | undefined;
  readonly storage?: EventStorage | undefined;
  /** Whether publishing succeeds, and histories come from memory, when the storage fails: true by default. */
  readonly cacheFallbackToStorage?: boolean | undefined;
}

const maxBatch = 1_000;
/** Written by triggers, with the change that they tell of. */
const ownTypes: ReadonlySet<string> = new Set([
  'knowledge.created',
  'knowledge.updated',
  'knowledge.deleted',
  'tag.created',
  'tag.updated',
]);

const workspaceId = z.guid({ error: 'must be an id' }).toLowerCase().optional();
const followedShape = z.object({ types: eventPatterns.default(['*']), workspaceId });
const filterShape = z.strictObject({
  type: eventType.optional(),
  aggregateId: z.string().min(1).max(500).optional(),
  workspaceId,
  after: eventTime.optional(),
  before: eventTime.optional(),
});

const parseBatch = (
  events: readonly (NewEvent | DomainEvent)[],
  path: (index: number) => string,
): readonly ParsedEvent[] => {
  const faults: Fault[] = [];
  const parsed = events.flatMap((event, index): readonly ParsedEvent[] => {
    const read = readNewEvent(event, []);
    const found =
      'faults' in read
        ? read.faults
        : ownTypes.has(read.event.type)
          ? [{ path: 'type', message: 'is one that Treadle publishes itself' }]
          : [];
    const prefix = path(index);
    for (const fault of found)
      faults.push({
        ...fault,
        path: [prefix, fault.path].filter((part) => part !== '').join('.'),
        ...(prefix === '' ? {} : { index }),
      });
    return 'faults' in read ? [] : [read.event];
  });
  if (faults.length > 0) throw validationError(path(0) === '' ? 'the event' : 'the events', faults);
  return parsed;
};

/**
 * Publishes events and tells of them. An event is a row of `treadle.events`, the record: with `{ tx }` of the caller's
 * transaction, so that nobody is told of what was rolled back, and all are told of what was committed.
 */
export class EventBus {
  readonly #parts: EventBusParts;
  readonly #cache: EventCache;
  /** The storage of the cache is the record. */
  readonly #cachesRecord: boolean;
  readonly #closing = new AbortController();

  constructor(parts: EventBusParts, options: CachedBusOptions = {}) {
    const { enableCache = true, cacheSize, cacheTtlMs, cacheFallbackToStorage, storage } = options;
    const { storageMode = enableCache ? StorageMode.WRITE_THROUGH : StorageMode.STORAGE_ONLY } = options;
    this.#parts = parts;
    this.#cachesRecord = storage === undefined;
    this.#cache = new EventCache({
      maxSize: cacheSize,
      ttlMs: cacheTtlMs,
      mode: storageMode,
      storage: storage ?? parts.record.storage,
      fallbackToCache: storage === undefined ? false : cacheFallbackToStorage,
      log: parts.log,
    });
  }

  /** The same bus with a cache or a storage of the caller's choice: for what it publishes, and for histories. */
  withCache(options: CachedBusOptions): EventBus {
    return new EventBus(this.#parts, options);
  }

  /**
   * Records an event and answers it as it is recorded. One whose id is there with the same content is not recorded again.
   * @throws AppError VALIDATION_ERROR naming every field that does not fit; DATA_CONSISTENCY_ERROR for the id of another event.
   */
  async publish(event: NewEvent | DomainEvent, { tx }: PublishOptions = {}): Promise<DomainEvent> {
    const [recorded] = await this.#record(
      [event],
      parseBatch([event], () => ''),
      tx,
    );
    if (!recorded) throw new Error('the record answered no event');
    return recorded;
  }

  /** As {@link publish}, up to 1,000 events in one statement, all or none; followers are told of them in this order. */
  async publishBatch(
    events: readonly (NewEvent | DomainEvent)[],
    { tx }: PublishOptions = {},
  ): Promise<readonly DomainEvent[]> {
    if (events.length > maxBatch)
      throw validationError('the events', [{ path: 'events', message: `must have at most ${maxBatch} elements` }]);
    return this.#record(
      events,
      parseBatch(events, (index) => `events[${index}]`),
      tx,
    );
  }

  /**
   * Calls `handler` for each event of these types that is committed from now on, one after another, in the order of commits. Types
   * may be patterns: `order.*`, `*.created`, `*`. What a handler throws is logged and counted, and concerns no other handler. Only
   * for as long as this process runs: see `defineConsumer` for what must not miss any. Answers how to end it.
   * @throws AppError VALIDATION_ERROR naming a type that does not fit.
   */
  async subscribe(
    types: string | readonly string[],
    handler: EventHandler,
    { workspaceId: workspace }: Pick<Followed, 'workspaceId'> = {},
  ): Promise<() => void> {
    const followed = parseFollowed({ types: typeof types === 'string' ? [types] : types, workspaceId: workspace });
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#closing.signal]);
    const stretches = followEvents(this.#parts.events, { ...followed, signal });
    // It stands where it begins before this is answered.
    await stretches.next();
    void this.#deliver(stretches, { handler, signal, types: followed.types.join(' ') });
    return () => ended.abort();
  }

  /**
   * Events as they are committed, from now or from a position on, until the signal aborts; see {@link followEvents}.
   * @throws AppError VALIDATION_ERROR naming a type that does not fit.
   */
  follow(
    followed: Followed,
    { after, signal }: { readonly after: Position | undefined; readonly signal: AbortSignal },
  ): AsyncGenerator<Stretch> {
    return followEvents(this.#parts.events, {
      ...parseFollowed(followed),
      after,
      signal: AbortSignal.any([signal, this.#closing.signal]),
    });
  }

  /** Undefined for an id that nobody has published, or whose event is gone. */
  async getEvent(id: string): Promise<DomainEvent | undefined> {
    return (await this.#cache.get(id)) ?? undefined;
  }

  /**
   * The latest events, of one type if it is given, the latest first; 100 by default, at most 1,000.
   * @throws AppError VALIDATION_ERROR naming what does not fit.
   */
  getEventHistory(type?: string, limit?: number): Promise<readonly DomainEvent[]> {
    return this.#cache.query({ eventType: type, limit });
  }

  /** Of all that is recorded, the latest first, 20 a page. @throws AppError VALIDATION_ERROR. */
  list(filter: EventFilter = {}, page: PageRequest = {}): Promise<Page<DomainEvent>> {
    return this.#parts.record.list(parseOrThrow(filterShape, filter, 'the filter'), page);
  }

  getCacheStats(): EventCacheStats {
    return this.#cache.getStats();
  }

  /** Ends what was subscribed here. */
  close(): void {
    this.#closing.abort();
  }

  async #record(
    given: readonly (NewEvent | DomainEvent)[],
    events: readonly ParsedEvent[],
    tx: Queryable | undefined,
  ): Promise<readonly DomainEvent[]> {
    const { record, announcer, published } = this.#parts;
    const recorded = await record.append(events, { tx, mayBeThere: given.some(({ id }) => id !== undefined) });
    published.add(recorded.length);
    if (tx || recorded.length === 0) return recorded;
    announcer.announce();
    if (this.#cachesRecord) this.#cache.remember(recorded);
    else await this.#cache.addBatch(recorded);
    return recorded;
  }

  async #deliver(
    stretches: AsyncIterable<Stretch>,
    {
      handler,
      signal,
      types,
    }: { readonly handler: EventHandler; readonly signal: AbortSignal; readonly types: string },
  ): Promise<void> {
    const { log, handlerErrors } = this.#parts;
    try {
      for await (const { events } of stretches) {
        for (const { event } of events) {
          if (signal.aborted) return;
          try {
            await handler(event, { signal });
          } catch (error) {
            handlerErrors.with({ types }).add();
            log.error({ event: 'events.handler-failed', types, eventId: event.id, eventType: event.type, err: error });
          }
        }
      }
    } catch (error) {
      log.error({ event: 'events.subscription-ended', types, err: error });
    }
  }
}

const parseFollowed = (followed: Followed) => parseOrThrow(followedShape, followed, 'the subscription');
