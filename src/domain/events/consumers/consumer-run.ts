import { setTimeout as delay } from 'node:timers/promises';
import { withinTime } from '../../../lib/batching/within-time.ts';
import { isPermanent, serializeError } from '../../../lib/errors/classify.ts';
import type { Log } from '../../../lib/log/create-log.ts';
import type { Platform } from '../../../platform.ts';
import type { DomainEvent } from '../domain-event.ts';
import type { EventLog } from '../event-log.ts';
import { isAfter, type Position } from '../position.ts';
import type { RecordedEvent, Stretch } from '../types.ts';
import type { ConsumerPositions, ConsumerHolder, TakenConsumer } from './consumer-positions.ts';
import type { EventConsumer } from './define-consumer.ts';
import type { ConsumerFault } from './types.ts';

/** How an event went. */
export type Delivery = 'handled' | 'failed' | 'dead';

export interface ConsumerRunParts {
  readonly consumer: EventConsumer;
  readonly positions: ConsumerPositions;
  readonly events: EventLog;
  readonly platform: Platform;
  readonly log: Log;
  readonly count: (outcome: Delivery, events: number) => void;
}

/** After so many processes were lost in a row without a step forward, the event that comes next is to blame. */
const buryAfterLosses = 5;
const saveEveryMs = 1_000;
const redriveEveryMs = 500;

const storable = (text: string): string => text.replaceAll('\0', '\u2400').toWellFormed().slice(0, 10_000);
const faultOf = (error: unknown): ConsumerFault => {
  const { code, message } = serializeError(error);
  return { code: storable(code), message: storable(message) };
};

/** Another process has the consumer now. */
class Lost extends Error {
  override readonly name = 'Lost';
}

const keep = async (written: Promise<boolean>): Promise<void> => {
  if (!(await written)) throw new Lost('another process has taken the consumer');
};

/** A consumer in the hands of the process that has taken it, from where it was found on. */
export class ConsumerRun {
  readonly #parts: ConsumerRunParts;
  readonly #holder: ConsumerHolder;
  readonly #signal: AbortSignal;
  readonly #knows: TakenConsumer['knows'];
  #position: Position;
  /** Failures of the event that comes next. */
  #attempts: number;
  #losses: number;
  #waitMs: number;
  /** Up to here each event is handled alone, and its end written down at once: one of them is to blame. */
  #suspectTo: Position | undefined;
  #redriveAt = 0;
  #savedAt = performance.now();
  /** The position has gone on over what is not for this consumer. */
  #unsaved = false;

  constructor(
    parts: ConsumerRunParts,
    { holder, position, knows, attempts, losses, waitMs }: TakenConsumer,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#holder = holder;
    this.#position = position;
    this.#knows = knows;
    this.#attempts = attempts;
    this.#losses = losses;
    this.#waitMs = waitMs;
    this.#signal = signal;
  }

  /** Until the signal aborts or another process takes the consumer. @throws what Postgres throws. */
  async run(): Promise<void> {
    const leave = this.#parts.events.attend();
    try {
      if (this.#losses > 0) await this.#suspect();
      while (!this.#signal.aborted) {
        await this.#redrive();
        if (this.#waitMs > 0) await delay(this.#waitMs, undefined, { signal: this.#signal });
        this.#waitMs = 0;
        await this.#step();
      }
    } catch (error) {
      if (!(error instanceof Lost) && !this.#signal.aborted) throw error;
    } finally {
      leave();
    }
  }

  async #step(): Promise<void> {
    const { events } = this.#parts;
    const stretch = await this.#read();
    if (stretch.events.length > 0) return this.#deliver(stretch);
    this.#unsaved ||= this.#losses > 0 || isAfter(stretch.to, this.#position);
    this.#position = stretch.to;
    await this.#saveIdle();
    if (!stretch.more) await events.changed(this.#position, redriveEveryMs, this.#signal);
  }

  async #read(): Promise<Stretch> {
    const { consumer, events } = this.#parts;
    const stretch = await events.read(this.#position, { limit: consumer.batchSize, types: consumer.types });
    return { ...stretch, events: stretch.events.filter(({ position }) => !this.#knows(position.xid)) };
  }

  /** Its position follows what does not concern it. */
  async #saveIdle(): Promise<void> {
    if (!this.#unsaved || performance.now() - this.#savedAt < saveEveryMs) return;
    await keep(this.#parts.positions.idle(this.#holder, this.#position));
    this.#losses = 0;
    this.#unsaved = false;
    this.#savedAt = performance.now();
  }

  async #deliver(stretch: Stretch): Promise<void> {
    const { events, to, alone } = this.#portion(stretch);
    let reached = this.#position;
    for (const group of alone ? events.map((event) => [event]) : [events]) {
      if (this.#signal.aborted) break;
      const attempt = reached === this.#position ? this.#attempts + 1 : 1;
      try {
        await this.#call(
          group.map(({ event }) => event),
          attempt,
        );
      } catch (error) {
        if (this.#signal.aborted) break;
        return this.#failed(group, reached, { error, attempt });
      }
      this.#parts.count('handled', group.length);
      reached = group.at(-1)?.position ?? reached;
      if (this.#suspectTo || performance.now() - this.#savedAt >= saveEveryMs) await this.#advance(reached);
    }
    const end = reached === events.at(-1)?.position ? to : reached;
    if (isAfter(end, this.#position)) await this.#advance(end);
  }

  /** What is handled next, and whether each of it alone. Of a suspect batch the rest first. */
  #portion({ events, to }: Stretch): Pick<Stretch, 'events' | 'to'> & { readonly alone: boolean } {
    const suspectTo = this.#suspectTo;
    const suspects = suspectTo ? events.filter(({ position }) => !isAfter(position, suspectTo)) : [];
    const last = suspects.at(-1);
    if (last) return { events: suspects, to: last.position, alone: true };
    this.#suspectTo = undefined;
    return { events, to, alone: !('handleBatch' in this.#parts.consumer) };
  }

  async #call(events: readonly DomainEvent[], attempt: number): Promise<void> {
    const { consumer, platform, log } = this.#parts;
    const { name, timeoutMs } = consumer;
    await withinTime({ signal: this.#signal, timeoutMs, what: `the consumer ${name}` }, async (signal) => {
      const context = { platform, signal, log, attempt };
      if ('handleBatch' in consumer) await consumer.handleBatch(events, context);
      else for (const event of events) await consumer.handle(event, context);
    });
  }

  async #advance(to: Position): Promise<void> {
    await keep(this.#parts.positions.advance(this.#holder, to));
    this.#moved(to, 0);
  }

  #moved(to: Position, attempts: number): void {
    this.#position = to;
    this.#attempts = attempts;
    this.#unsaved = false;
    this.#savedAt = performance.now();
  }

  /** Several that failed together are tried one by one; one is tried again later, or is a dead letter. */
  async #failed(
    group: readonly RecordedEvent[],
    reached: Position,
    { error, attempt }: { readonly error: unknown; readonly attempt: number },
  ): Promise<void> {
    const { consumer, positions, log, count } = this.#parts;
    const [recorded, ...others] = group;
    if (!recorded) return;
    if (others.length > 0) {
      log.warn({ event: 'consumer.batch-failed', events: group.length, err: error });
      this.#suspectTo = others.at(-1)?.position;
      return;
    }
    const eventId = recorded.event.id;
    if (attempt >= consumer.attempts || isPermanent(error)) {
      log.error({ event: 'consumer.dead-letter', eventId, attempts: attempt, err: error });
      await this.#bury(recorded, attempt, faultOf(error));
      return;
    }
    log.warn({ event: 'consumer.failed', eventId, attempt, err: error });
    count('failed', 1);
    const { delayMs: firstMs, maxDelayMs } = consumer.backoff;
    const delayMs = Math.min(maxDelayMs, firstMs * 2 ** (attempt - 1)) * (1 - Math.random() / 2);
    await keep(positions.fail(this.#holder, reached, { attempts: attempt, delayMs, fault: faultOf(error) }));
    this.#moved(reached, attempt);
    this.#waitMs = delayMs;
  }

  async #bury(recorded: RecordedEvent, attempts: number, fault: ConsumerFault): Promise<void> {
    await keep(this.#parts.positions.bury(this.#holder, recorded, { attempts, fault }));
    this.#parts.count('dead', 1);
    this.#moved(recorded.position, 0);
  }

  /** The process before was lost, maybe with an event: which one shows when each is handled alone. */
  async #suspect(): Promise<void> {
    const stretch = await this.#read();
    const [next] = stretch.events;
    this.#suspectTo = stretch.events.at(-1)?.position;
    if (!next || this.#losses < buryAfterLosses) return;
    const message = `${this.#losses} processes in a row were lost with this event`;
    this.#parts.log.error({ event: 'consumer.dead-letter', eventId: next.event.id, losses: this.#losses });
    await this.#bury(next, this.#losses, { code: 'PROCESS_LOST', message });
  }

  /** Handles dead letters once more that somebody has put back. */
  async #redrive(): Promise<void> {
    const { positions, count } = this.#parts;
    if (performance.now() < this.#redriveAt) return;
    this.#redriveAt = performance.now() + redriveEveryMs;
    for (;;) {
      const found = await positions.nextRedriven(this.#holder.name);
      if (!found || this.#signal.aborted) return;
      try {
        await this.#call([found.event], found.attempts + 1);
        await positions.redriven(this.#holder, found.event.id);
        count('handled', 1);
      } catch (error) {
        if (this.#signal.aborted) return;
        await positions.buryAgain(this.#holder, found.event.id, faultOf(error));
        count('dead', 1);
      }
    }
  }
}
