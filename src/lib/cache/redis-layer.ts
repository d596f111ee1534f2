import { randomUUID } from 'node:crypto';
import type { Log } from '../log/create-log.ts';
import { runScript } from '../redis/redis-script.ts';
import { toRedisText } from './cache-text.ts';
import { isForeignKind, type RedisGate } from './redis-gate.ts';
import type { RedisNames } from './redis-names.ts';
import { claimEntry, releaseClaim, renewClaim, storeClaimed, storeOver, tagEntry } from './redis-scripts.ts';
import type { LocalEntry } from './local-store.ts';
import { decodeEntry, encodeEntry, type EncodedValue } from './value-codec.ts';

export interface RedisLayerParts {
  readonly gate: RedisGate;
  readonly names: RedisNames;
  readonly compressAboveBytes: number | undefined;
  readonly log: Log;
}

/** What to store; times are those of this process. */
export interface ToStore extends Pick<LocalEntry, 'tags' | 'createdAt' | 'expiresAt' | 'diesAt'> {
  readonly encoded: EncodedValue;
}

export type Claimed =
  | { readonly state: 'mine'; readonly token: string; readonly found: LocalEntry | undefined }
  | { readonly state: 'taken'; readonly found: LocalEntry | undefined }
  | { readonly state: 'away' };

const clockEveryMs = 60_000;
const storeAttempts = 3;
const digits = /^-?\d{1,19}$/;
const longestCounter = 20;
/** So long it counts as fresh for who asks for it now. */
const counterMs = 1_000;

const foreign = Symbol('a value of another kind');

/** A value of another kind is none of ours. */
const asForeign = (error: unknown): typeof foreign => {
  if (isForeignKind(error)) return foreign;
  throw error;
};

const counterOf = (value: number, since: number): LocalEntry => {
  const now = Date.now();
  const expiresAt = now + counterMs;
  return { value, tags: [], bytes: 0, createdAt: now, expiresAt, diesAt: expiresAt, since, isCounter: true };
};

/** The entries in Redis, and counters. Nothing here throws because of Redis: what can't be read is missing, what can't be written is not there. */
export class RedisLayer {
  /** Values that nobody here has written, or that are damaged. */
  corrupted = 0;
  readonly #parts: RedisLayerParts;
  /** The clock of Redis less that of this process. */
  #aheadMs = 0;
  #clockReadAt = Number.NEGATIVE_INFINITY;

  constructor(parts: RedisLayerParts) {
    this.#parts = parts;
  }

  /** `since`: how far the log of invalidations had come before. */
  async get(key: string, since: number): Promise<LocalEntry | undefined> {
    if (this.#clockIsOld) await this.#readClock();
    const name = this.#parts.names.value(key);
    const asked = await this.#parts.gate.ask((client) => client.get(name).catch(asForeign));
    return asked.ok ? this.#read(asked.value, since) : undefined;
  }

  /** One command where there is one server, else one a key, all sent at once. In the order of the keys. */
  async getMany(keys: readonly string[], since: number): Promise<readonly (LocalEntry | undefined)[]> {
    if (this.#clockIsOld) await this.#readClock();
    const names = keys.map((key) => this.#parts.names.value(key));
    const asked = await this.#parts.gate.ask((client): Promise<readonly (string | null | typeof foreign)[]> => {
      if (!('nodes' in client)) return client.mget(names);
      return Promise.all(names.map((name) => client.get(name).catch(asForeign)));
    });
    return asked.ok ? asked.value.map((text) => this.#read(text, since)) : [];
  }

  /** Claims the right to compute an entry. `force`: whoever computes it now is not to store what it finds. */
  async claim(
    key: string,
    leaseMs: number,
    { since, force = false }: { readonly since: number; readonly force?: boolean },
  ): Promise<Claimed> {
    if (this.#clockIsOld) await this.#readClock();
    const token = randomUUID();
    const asked = await this.#parts.gate.ask((client) =>
      runScript(client, claimEntry, this.#parts.names.pair(key), [token, leaseMs, force ? 1 : 0]).catch(asForeign),
    );
    if (!asked.ok) return { state: 'away' };
    const answer: readonly unknown[] = Array.isArray(asked.value) ? asked.value : [];
    if (answer.length === 0) {
      this.corrupted += 1;
      return { state: 'away' };
    }
    const [claimed, text] = answer;
    const found = this.#read(typeof text === 'string' ? text : null, since);
    return claimed === 1 ? { state: 'mine', token, found } : { state: 'taken', found };
  }

  /** Whether the claim still holds; undefined: Redis does not say. */
  async renew(key: string, token: string, leaseMs: number): Promise<boolean | undefined> {
    const [, claim] = this.#parts.names.pair(key);
    const asked = await this.#parts.gate.ask((client) => runScript(client, renewClaim, [claim], [token, leaseMs]));
    return asked.ok ? asked.value === 1 : undefined;
  }

  async release(key: string, token: string): Promise<void> {
    const [, claim] = this.#parts.names.pair(key);
    await this.#parts.gate.ask((client) => runScript(client, releaseClaim, [claim], [token]));
  }

  /** Writes the entry to its tags; before its source is read. False: not to all of them. */
  async tag(key: string, tags: readonly string[], ms: number): Promise<boolean> {
    if (tags.length === 0) return true;
    const member = toRedisText(key);
    const asked = await this.#parts.gate.ask((client) =>
      Promise.all(
        tags.map((tag) => runScript(client, tagEntry, [this.#parts.names.tag(tag)], [member, Math.ceil(ms)])),
      ),
    );
    return asked.ok;
  }

  /** Stores what was computed under a claim; false: the claim is gone, or Redis is. */
  async storeClaimed(key: string, token: string, entry: ToStore): Promise<boolean> {
    const { text, ms } = this.#encode(entry);
    const asked = await this.#parts.gate.ask((client) =>
      runScript(client, storeClaimed, this.#parts.names.pair(key), [token, text, ms]),
    );
    return asked.ok && asked.value === 1;
  }

  /** Stores over whatever is there or is computed. False: it may not be there, and something older may. */
  async store(key: string, entry: ToStore, leaseMs: number): Promise<boolean> {
    const { text, ms } = this.#encode(entry);
    if (entry.tags.length === 0) {
      const asked = await this.#parts.gate.ask((client) =>
        runScript(client, storeOver, this.#parts.names.pair(key), [text, ms]),
      );
      return asked.ok;
    }
    // Its tags may be invalidated meanwhile, which takes the claim away: what is given now is newer than that.
    for (let attempt = 0; attempt < storeAttempts; attempt += 1) {
      const claim = await this.claim(key, leaseMs, { since: 0, force: true });
      if (claim.state !== 'mine' || !(await this.tag(key, entry.tags, ms))) return false;
      if (await this.storeClaimed(key, claim.token, entry)) return true;
    }
    return false;
  }

  get #clockIsOld(): boolean {
    return performance.now() - this.#clockReadAt > clockEveryMs;
  }

  /** Who compares times with those that others wrote needs one clock for all: that of Redis. */
  async #readClock(): Promise<void> {
    const before = Date.now();
    const asked = await this.#parts.gate.ask((client) => client.time());
    if (!asked.ok) return;
    const [seconds, microseconds] = asked.value;
    this.#clockReadAt = performance.now();
    this.#aheadMs = Number(seconds) * 1_000 + Number(microseconds) / 1_000 - (before + Date.now()) / 2;
  }

  #encode({ encoded, tags, createdAt, expiresAt, diesAt }: ToStore): { readonly text: string; readonly ms: number } {
    const ahead = this.#aheadMs;
    const times = { createdAt: createdAt + ahead, expiresAt: expiresAt + ahead, diesAt: diesAt + ahead };
    const text = encodeEntry(encoded, { tags, ...times }, this.#parts.compressAboveBytes);
    return { text, ms: Math.max(1, Math.ceil(diesAt - Date.now())) };
  }

  #read(text: string | typeof foreign | null, since: number): LocalEntry | undefined {
    if (text === null) return undefined;
    try {
      if (text === foreign) throw new TypeError('a value of another kind');
      if (text.length <= longestCounter && digits.test(text)) return counterOf(Number(text), since);
      return decodeEntry(text, { aheadMs: this.#aheadMs, since });
    } catch (error) {
      if (this.corrupted === 0) this.#parts.log.warn({ event: 'cache.foreign-value', err: error });
      this.corrupted += 1;
      return undefined;
    }
  }
}
