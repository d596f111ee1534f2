import { setTimeout as delay } from 'node:timers/promises';
import { Alarm } from '../../lib/batching/alarm.ts';
import type { LoopWatch, WatchedLoop } from '../../lib/health/loop-watch.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import { matcherOf } from './event-type.ts';
import { isAfter, type Position, type Start } from './position.ts';
import type { EventRecord } from './postgres/event-record.ts';
import type { Followed, RecordedEvent, Stretch } from './types.ts';

export interface EventLogParts {
  readonly record: EventRecord;
  readonly subscription: Subscription;
  readonly log: Log;
  readonly loops?: LoopWatch | undefined;
}

/** The channel on which followers of events are woken; what there is to read they find in the table. */
export const eventChannel = 'treadle_events';

/** NOTIFY may be missing: without a change stream nobody sends one for what SQL and transactions of others commit. */
const pollMs = 1_000;
/** While committed events wait for an older transaction, of whose end nobody tells. */
const heldPollMs = { first: 5, most: 200 };
const failedPollMs = { first: 100, most: 5_000 };
const readAtOnce = 500;
const keptEvents = 2_000;
const keptBytes = 16_777_216;
const silentMs = 60_000;

/** The last events, as they follow each other from `from`, which is before the first, to `head`. */
interface Tail {
  from: Position;
  head: Position;
  events: RecordedEvent[];
}

/**
 * Reads the record of events in the order of commits, once for all followers of this process: it keeps the last ones, so that
 * only a follower that is behind reads for itself. It looks while somebody follows.
 */
export class EventLog {
  readonly #parts: EventLogParts;
  readonly #alarm = new Alarm();
  readonly #waiting = new Set<() => void>();
  readonly #closing = new AbortController();
  #followers = 0;
  #alive = false;
  #tail: Tail | undefined;
  #running: Promise<void> | undefined;
  #rebased: Promise<number> | undefined;

  constructor(parts: EventLogParts) {
    this.#parts = parts;
  }

  /** Keeps the last events at hand until the answered function is called. */
  attend(): () => void {
    this.#followers += 1;
    if (!this.#alive && !this.#closing.signal.aborted) {
      this.#alive = true;
      this.#running = this.#follow();
    }
    let attending = true;
    return () => {
      if (attending) this.#followers -= 1;
      attending = false;
      if (this.#followers === 0) this.#alarm.ring();
    };
  }

  /**
   * Events after a position, from memory where they are. Whoever reads to the end of them is told of every event of the types and
   * the workspace, once, whatever else runs.
   */
  async read(after: Position, { limit, types, workspaceId }: Followed & { readonly limit: number }): Promise<Stretch> {
    const tail = this.#tail;
    if (!tail || isAfter(tail.from, after)) {
      await this.mend();
      return this.#parts.record.read(after, { limit, ...(types ? { types } : {}), workspaceId });
    }
    const matches = matcherOf(types ?? ['*']);
    const events: RecordedEvent[] = [];
    for (const recorded of tail.events.slice(firstAfter(tail.events, after))) {
      if (!matches(recorded.event.type) || (workspaceId !== undefined && recorded.event.workspaceId !== workspaceId))
        continue;
      events.push(recorded);
      if (events.length === limit) return { events, to: recorded.position, more: true, held: false };
    }
    return { events, to: isAfter(tail.head, after) ? tail.head : after, more: false, held: false };
  }

  /** Where whoever begins now begins. */
  async now(): Promise<Start> {
    await this.mend();
    return this.#parts.record.now();
  }

  /** Resolves when there are events after the position, after `ms`, or when the signal aborts; now, if there are already. */
  async changed(after: Position, ms: number, signal: AbortSignal): Promise<void> {
    const last = this.#tail?.events.at(-1);
    if (signal.aborted || (last && isAfter(last.position, after))) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#waiting.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(resolve);
  }

  /** Mends positions from another cluster, once. @throws what Postgres throws, and looks again the next time. */
  async mend(): Promise<void> {
    this.#rebased ??= this.#parts.record.rebase();
    try {
      const events = await this.#rebased;
      if (events > 0) this.#parts.log.warn({ event: 'events.rebased', events });
      this.#rebased = Promise.resolve(0);
    } catch (error) {
      this.#rebased = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#alarm.ring();
    await this.#running;
  }

  async #follow(): Promise<void> {
    const { subscription, loops, log } = this.#parts;
    const loop = loops?.watch('events', silentMs);
    const ring = (): void => this.#alarm.ring();
    // Not waited for: without it there is the poll.
    const listening = subscription.listen(eventChannel, ring, ring).catch((error: unknown) => {
      log.warn({ event: 'events.not-listening', err: error });
      return undefined;
    });
    void listening.then(ring);
    await this.#readOn(loop);
    this.#alive = false;
    this.#tail = undefined;
    loop?.end();
    void listening.then((stop) => stop?.());
  }

  async #readOn(loop: WatchedLoop | undefined): Promise<void> {
    let heldMs = heldPollMs.first;
    let failedMs = failedPollMs.first;
    while (this.#followers > 0 && !this.#closing.signal.aborted) {
      loop?.beat();
      try {
        const { more, held } = await this.#advance();
        failedMs = failedPollMs.first;
        heldMs = held ? Math.min(heldPollMs.most, heldMs * 2) : heldPollMs.first;
        if (!more) await this.#alarm.sleep(held ? heldMs : pollMs);
      } catch (error) {
        if (failedMs === failedPollMs.first) this.#parts.log.warn({ event: 'events.read-failed', err: error });
        await delay(failedMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
        failedMs = Math.min(failedPollMs.most, failedMs * 2);
      }
    }
  }

  async #advance(): Promise<Stretch> {
    const { record } = this.#parts;
    if (!this.#tail) {
      const { position: head } = await this.now();
      this.#tail = { from: head, head, events: [] };
      // Who looked before may have missed what lies before the head.
      this.#tellAll();
    }
    const tail = this.#tail;
    const stretch = await record.read(tail.head, { limit: readAtOnce });
    const [gone, events] = lastOf([...tail.events, ...stretch.events]);
    this.#tail = { from: gone?.position ?? tail.from, head: stretch.to, events };
    if (stretch.events.length > 0) this.#tellAll();
    return stretch;
  }

  #tellAll(): void {
    for (const tell of this.#waiting) tell();
  }
}

/** As many of the last events as are kept, and the one before them. */
const lastOf = (events: RecordedEvent[]): readonly [RecordedEvent | undefined, RecordedEvent[]] => {
  let from = events.length;
  for (let bytes = 0; from > 0 && events.length - from < keptEvents; from -= 1) {
    bytes += events[from - 1]?.bytes ?? 0;
    if (bytes > keptBytes) break;
  }
  return [events[from - 1], events.slice(from)];
};

/** The index of the first event after a position, by bisection. */
const firstAfter = (events: readonly RecordedEvent[], after: Position): number => {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = events[middle];
    if (found && !isAfter(found.position, after)) low = middle + 1;
    else high = middle;
  }
  return low;
};
