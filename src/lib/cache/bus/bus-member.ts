import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { AppError } from '../../errors/app-error.ts';
import type { Log } from '../../log/create-log.ts';
import type { Invalidation } from '../invalidation.ts';
import type { CacheBus } from './cache-bus.ts';

const message = z.object({
  /** Who sends, and its how manieth message this is; a beat repeats the number of the last one. */
  from: z.string(),
  seq: z.number(),
  beat: z.literal(true).optional(),
  gone: z
    .array(
      z.union([
        z.object({ keys: z.array(z.string()) }),
        z.object({ tags: z.array(z.string()) }),
        z.object({ glob: z.string() }),
        z.object({ regexp: z.object({ source: z.string(), flags: z.string() }) }),
        z.object({ all: z.literal(true) }),
      ]),
    )
    .default([]),
});

export interface BusMemberParts {
  readonly bus: CacheBus;
  readonly log: Log;
  readonly onInvalidation: (invalidation: Invalidation) => void;
  /** Whether everything that others say is heard, from now on: not at first; `false` and `true` for what was lost meanwhile. */
  readonly onHearing: (hears: boolean) => void;
  /** 5 s: how often it asks itself whether it hears. */
  readonly beatMs?: number;
}

export interface BusCounts {
  readonly kind: CacheBus['kind'];
  readonly hears: boolean;
  readonly published: number;
  readonly received: number;
  /** Messages that could not be sent. */
  readonly failed: number;
  /** How often messages were, or may have been, lost on the way here. */
  readonly gaps: number;
}

const forgottenAfterMs = 600_000;
/** After a failure nothing is tried for so long, so that who invalidates does not wait each time. */
const restMs = 1_000;
const keysAtOnce = 500;

/** Cuts what is too long for one message; what is too long by itself becomes everything. */
const cutInvalidation = (invalidation: Invalidation, maxBytes: number): readonly Invalidation[] => {
  const fits = Buffer.byteLength(JSON.stringify(invalidation)) <= maxBytes;
  const names = 'keys' in invalidation ? invalidation.keys : 'tags' in invalidation ? invalidation.tags : [];
  if (fits && names.length <= keysAtOnce) return [invalidation];
  if (names.length < 2) return [{ all: true }];
  const middle = Math.ceil(names.length / 2);
  return [names.slice(0, middle), names.slice(middle)].flatMap((part) =>
    cutInvalidation('keys' in invalidation ? { keys: part } : { tags: part }, maxBytes),
  );
};

/** As many in one message as it takes. */
const packed = (parts: readonly Invalidation[], maxBytes: number): readonly (readonly string[])[] => {
  const messages: string[][] = [];
  let left = 0;
  for (const text of parts.map((part) => JSON.stringify(part))) {
    const bytes = Buffer.byteLength(text) + 1;
    if (bytes > left) {
      messages.push([]);
      left = maxBytes;
    }
    messages.at(-1)?.push(text);
    left -= bytes;
  }
  return messages;
};

/**
 * One process on the bus: numbers what it sends, misses what others sent, and knows whether it hears at all, because it
 * hears itself.
 */
export class BusMember {
  readonly #parts: BusMemberParts;
  readonly #id = randomUUID();
  readonly #others = new Map<string, { seq: number; heardAt: number }>();
  #pending: Invalidation[] = [];
  #beatsPending = false;
  #sending: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();
  #seq = 0;
  #hears = false;
  #beat: NodeJS.Timeout | undefined;
  #heardItselfAt = 0;
  #askedAt = 0;
  #published = 0;
  #received = 0;
  #failed = 0;
  #gaps = 0;
  #restsUntil = 0;

  constructor(parts: BusMemberParts) {
    this.#parts = parts;
  }

  get hears(): boolean {
    return this.#hears;
  }

  start(): void {
    const { bus, beatMs = 5_000 } = this.#parts;
    if (this.#beat) return;
    this.#beat = setInterval(() => this.#look(beatMs), beatMs).unref();
    bus.start({
      message: (text) => this.#take(text),
      lost: () => this.#miss(),
      back: () => void this.#ask(),
    });
  }

  /** Resolves once it is sent. @throws AppError SERVICE_UNAVAILABLE when the others could not be told. */
  async publish(invalidation: Invalidation): Promise<void> {
    if (performance.now() < this.#restsUntil) {
      this.#seq += 1;
      throw this.#notSent(undefined);
    }
    this.#pending.push(...cutInvalidation(invalidation, this.#parts.bus.maxBytes - 200));
    this.#sending ??= this.#next();
    await this.#sending;
  }

  counts(): BusCounts {
    return {
      kind: this.#parts.bus.kind,
      hears: this.#hears,
      published: this.#published,
      received: this.#received,
      failed: this.#failed,
      gaps: this.#gaps,
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#beat);
    await this.#parts.bus.close();
  }

  #look(beatMs: number): void {
    const now = performance.now();
    if (this.#hears && this.#askedAt > this.#heardItselfAt && now - this.#askedAt >= beatMs) this.#miss();
    for (const [id, { heardAt }] of this.#others) if (now - heardAt > forgottenAfterMs) this.#others.delete(id);
    void this.#ask();
  }

  async #ask(): Promise<void> {
    this.#askedAt = performance.now();
    this.#beatsPending = true;
    this.#sending ??= this.#next();
    await this.#sending.catch(() => this.#miss());
  }

  /** One after the other, in the order of the numbers: what comes while one is sent goes with the next. */
  #next(): Promise<void> {
    const before = this.#last;
    const sent = before.catch(() => undefined).then(() => this.#send());
    this.#last = sent;
    return sent;
  }

  async #send(): Promise<void> {
    this.#sending = undefined;
    const { bus } = this.#parts;
    const parts = this.#pending.splice(0);
    const beats = this.#beatsPending;
    this.#beatsPending = false;
    try {
      for (const texts of packed(parts, bus.maxBytes - 200)) {
        this.#seq += 1;
        await bus.publish(`{"from":"${this.#id}","seq":${this.#seq},"gone":[${texts.join(',')}]}`);
        this.#published += 1;
      }
      if (beats) await bus.publish(`{"from":"${this.#id}","seq":${this.#seq},"beat":true}`);
    } catch (error) {
      this.#restsUntil = performance.now() + restMs;
      throw this.#notSent(error);
    }
  }

  /** The number stays taken: with the next beat the others find that one is missing. */
  #notSent(cause: unknown): AppError {
    this.#failed += 1;
    const details = { service: this.#parts.bus.kind };
    return new AppError('SERVICE_UNAVAILABLE', 'other processes cannot be told', details, { cause });
  }

  /** Something may have been lost. Nothing is believed again until it has heard itself. */
  #miss(): void {
    this.#others.clear();
    if (!this.#hears) return;
    this.#gaps += 1;
    this.#hears = false;
    this.#parts.onHearing(false);
  }

  #take(text: string): void {
    const parsed = message.safeParse(safelyParsed(text));
    if (!parsed.success) return;
    const { from, seq, beat = false, gone } = parsed.data;
    if (from === this.#id) return this.#heardItself(beat);
    const known = this.#others.get(from);
    this.#others.set(from, { seq, heardAt: performance.now() });
    if (known && seq !== known.seq + (beat ? 0 : 1)) {
      this.#gaps += 1;
      this.#parts.log.warn({ event: 'cache.messages-lost', messages: seq - known.seq });
      this.#parts.onHearing(false);
      this.#parts.onHearing(this.#hears);
    }
    if (beat) return;
    this.#received += 1;
    for (const invalidation of gone) this.#parts.onInvalidation(invalidation);
  }

  #heardItself(beat: boolean): void {
    if (!beat) return;
    this.#heardItselfAt = performance.now();
    if (this.#hears) return;
    this.#hears = true;
    this.#parts.onHearing(true);
  }
}

const safelyParsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
