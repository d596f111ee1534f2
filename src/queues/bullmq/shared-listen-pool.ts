import { EventEmitter } from 'node:events';
import type { PgPool, PgPoolClient, PgQueryResult } from 'bullmq';
import type { Pool, PoolClient, QueryResult } from 'pg';

// BullMQ's statements begin with comments.
const isListen = (text: string): boolean => /^\s*(?:un)?listen\b/im.test(text);
/** The statement that renews the locks of a worker's jobs. */
const isRenewal = (text: string): boolean => /\bSET locked_until_ms\b[^;]*\bFROM input\b/.test(text);
const namesConnection = (text: string): boolean => text.includes('application_name');

/**
 * What BullMQ's Postgres backend takes for a pool. Each of its workers wants a connection of its own to LISTEN on; here
 * all workers of a process share one, which is made again when it breaks: every worker is told by `error`, upon which
 * BullMQ asks for a connection and listens anew. Locks are renewed over that connection, too: it has little else to do,
 * and a renewal that waits behind the jobs for a connection comes too late.
 */
export class SharedListenPool extends EventEmitter {
  readonly options = { keepAlive: true };
  readonly #pool: Pool;
  readonly #hub = new EventEmitter().setMaxListeners(0);
  #listener: Promise<PoolClient> | undefined;
  /** The last statement on the listening connection, which takes one at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(pool: Pool) {
    super();
    this.setMaxListeners(0);
    this.#pool = pool;
    pool.on('error', (error) => this.listenerCount('error') > 0 && this.emit('error', error));
  }

  get totalCount(): number {
    return this.#pool.totalCount;
  }
  get idleCount(): number {
    return this.#pool.idleCount;
  }
  get waitingCount(): number {
    return this.#pool.waitingCount;
  }

  async query<R>(text: string, params?: readonly unknown[]): Promise<PgQueryResult<R>> {
    if (namesConnection(text)) return { rows: [] };
    const values = params === undefined ? undefined : [...params];
    const apart = isListen(text) || isRenewal(text);
    const { rows, rowCount } = await (apart ? this.#queryListener(text, values) : this.#pool.query(text, values));
    return { rows, rowCount };
  }

  /** A client as one worker sees it: its queries go to the pool, its notifications come from the shared connection. */
  async connect(): Promise<PgPoolClient> {
    const own = new EventEmitter().setMaxListeners(0);
    const onNotification = (message: unknown): boolean => own.emit('notification', message);
    const onError = (error: Error): boolean => own.listenerCount('error') > 0 && own.emit('error', error);
    this.#hub.on('notification', onNotification).on('error', onError);
    const release = (): void => {
      this.#hub.off('notification', onNotification).off('error', onError);
    };
    const client = Object.assign(own, {
      query: <R>(text: string, params?: readonly unknown[]) => this.query<R>(text, params),
      release,
    });
    return client;
  }

  async end(): Promise<void> {
    const listener = await this.#listener?.catch(() => undefined);
    listener?.release(true);
    await this.#pool.end();
  }

  /** This object as BullMQ's type, which asks for more of `pg.Pool` than BullMQ uses. */
  asPgPool(): PgPool {
    return this;
  }

  #queryListener(text: string, values: unknown[] | undefined): Promise<QueryResult> {
    const asked = this.#last.then(async () => {
      const client = await this.#listening();
      return client.query(text, values);
    });
    this.#last = asked.catch(() => undefined);
    return asked;
  }

  #listening(): Promise<PoolClient> {
    this.#listener ??= this.#open();
    return this.#listener;
  }

  async #open(): Promise<PoolClient> {
    try {
      const client = await this.#pool.connect();
      client.on('notification', (message) => this.#hub.emit('notification', message));
      client.on('error', (error) => {
        this.#listener = undefined;
        client.release(error);
        if (this.#hub.listenerCount('error') > 0) this.#hub.emit('error', error);
      });
      return client;
    } catch (error) {
      this.#listener = undefined;
      throw error;
    }
  }
}
