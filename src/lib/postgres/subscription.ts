import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { withTimeout } from '../batching/with-timeout.ts';
import { isConnectionError } from '../errors/classify.ts';
import type { LoopWatch, WatchedLoop } from '../health/loop-watch.ts';
import type { Log } from '../log/create-log.ts';
import type { Postgres } from './postgres.ts';

type Listener = (payload: string) => void;

const silentMs = 60_000;
/** Nothing is heard of a connection that hangs, so that it is asked now and then. */
const pulseMs = 10_000;

/**
 * LISTEN for a whole process on one connection of its own. When the connection breaks it is made again, and every
 * listener's `onReconnect` runs, because notifications in between are lost: whoever listens must look for itself then.
 */
export class Subscription {
  readonly #postgres: Postgres;
  readonly #log: Log;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #onReconnect = new Set<() => void>();
  readonly #closing = new AbortController();
  readonly #loops: LoopWatch | undefined;
  #loop: WatchedLoop | undefined;
  #pulse: NodeJS.Timeout | undefined;
  #connecting: Promise<pg.Client | undefined> | undefined;
  #live: pg.Client | undefined;
  #said: Promise<unknown> = Promise.resolve();

  constructor(postgres: Postgres, log: Log, loops?: LoopWatch) {
    this.#postgres = postgres;
    this.#log = log;
    this.#loops = loops;
  }

  /**
   * Calls `listener` for each notification on `channel`; resolves once it listens, or with a lost connection, which is
   * made again and then tells by `onReconnect`. Answers how to stop, which waits for no server.
   */
  async listen(channel: string, listener: Listener, onReconnect?: () => void): Promise<() => Promise<void>> {
    const listeners = this.#listeners.get(channel) ?? new Set<Listener>();
    listeners.add(listener);
    this.#listeners.set(channel, listeners);
    if (onReconnect) this.#onReconnect.add(onReconnect);
    const stop = (): Promise<void> => {
      listeners.delete(listener);
      if (onReconnect) this.#onReconnect.delete(onReconnect);
      if (listeners.size === 0 && this.#listeners.get(channel) === listeners) {
        this.#listeners.delete(channel);
        if (this.#live) void this.#say(this.#live, `UNLISTEN ${channel}`).catch(() => undefined);
      }
      return Promise.resolve();
    };
    try {
      const client = await this.#client();
      if (client) await this.#say(client, `LISTEN ${channel}`);
    } catch (error) {
      // The next connection listens on every channel.
      if (!isConnectionError(error)) {
        void stop();
        throw error;
      }
    }
    return stop;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#loop?.end();
    const client = await this.#connecting?.catch(() => undefined);
    // Only now: a connection that was being made has begun to feel its pulse.
    clearInterval(this.#pulse);
    client?.removeAllListeners('end');
    await client?.end();
  }

  /** One statement after the other. */
  #say(client: pg.Client, statement: string): Promise<unknown> {
    const said = this.#said.then(() => client.query(statement));
    this.#said = said.catch(() => undefined);
    return said;
  }

  #client(): Promise<pg.Client | undefined> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<pg.Client | undefined> {
    this.#loop ??= this.#loops?.watch('subscription', silentMs);
    for (let attempt = 0; !this.#closing.signal.aborted; attempt += 1) {
      this.#loop?.beat();
      try {
        return await this.#open();
      } catch (error) {
        this.#log.warn({ event: 'postgres.listen-failed', err: error });
        await delay(Math.min(5_000, 100 * 2 ** attempt), undefined, { signal: this.#closing.signal }).catch(
          () => undefined,
        );
      }
    }
    return undefined;
  }

  async #open(): Promise<pg.Client> {
    const client = await this.#postgres.connectDirect('listen');
    client.on('error', (error) => this.#log.warn({ event: 'postgres.listen-lost', err: error }));
    client.on('notification', ({ channel, payload }) => {
      for (const listener of this.#listeners.get(channel) ?? []) listener(payload ?? '');
    });
    try {
      for (const channel of this.#listeners.keys()) await client.query(`LISTEN ${channel}`);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    this.#live = client;
    this.#said = Promise.resolve();
    this.#pulse = setInterval(() => void this.#feelPulse(client), pulseMs);
    client.once('end', () => this.#reconnect());
    return client;
  }

  /** A connection that does not answer is given up, and made again. */
  async #feelPulse(client: pg.Client): Promise<void> {
    try {
      await withTimeout(this.#say(client, 'SELECT 1'), pulseMs / 2, 'Postgres');
      this.#loop?.beat();
    } catch (error) {
      this.#log.warn({ event: 'postgres.listen-hangs', err: error });
      await client.end().catch(() => undefined);
    }
  }

  #reconnect(): void {
    this.#live = undefined;
    clearInterval(this.#pulse);
    if (this.#closing.signal.aborted) return;
    this.#connecting = this.#connect().then((client) => {
      for (const tell of this.#onReconnect) tell();
      return client;
    });
  }
}
