import type { Log } from '../../log/create-log.ts';
import type { Queryable } from '../../postgres/queryable.ts';
import type { Subscription } from '../../postgres/subscription.ts';
import type { BusListener, CacheBus } from './cache-bus.ts';

export interface NotifyBusParts {
  readonly postgres: Queryable;
  readonly subscription: Pick<Subscription, 'listen'>;
  readonly prefix: string;
  readonly log: Log;
}

const channel = 'treadle_cache_bus';
const retryMs = 1_000;

/** LISTEN and NOTIFY of Postgres. All prefixes share one channel: its names are not quoted. */
export class NotifyBus implements CacheBus {
  readonly kind = 'notify';
  readonly maxBytes: number;
  readonly #parts: NotifyBusParts;
  readonly #mark: string;
  #stop: Promise<(() => Promise<void>) | undefined> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: NotifyBusParts) {
    this.#parts = parts;
    this.#mark = `${parts.prefix}\n`;
    this.maxBytes = 7_900 - Buffer.byteLength(this.#mark);
  }

  start(listener: BusListener): void {
    this.#stop ??= this.#open(listener);
  }

  async publish(text: string): Promise<void> {
    await this.#parts.postgres.query('SELECT pg_notify($1, $2)', [channel, `${this.#mark}${text}`]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await (
      await this.#stop
    )?.();
  }

  async #open(listener: BusListener): Promise<(() => Promise<void>) | undefined> {
    try {
      const stop = await this.#parts.subscription.listen(
        channel,
        (text) => {
          if (text.startsWith(this.#mark)) listener.message(text.slice(this.#mark.length));
        },
        () => {
          listener.lost();
          listener.back();
        },
      );
      listener.back();
      return stop;
    } catch (error) {
      this.#parts.log.warn({ event: 'cache.bus-not-heard', err: error });
      this.#stop = undefined;
      if (!this.#closed) this.#retry = setTimeout(() => this.start(listener), retryMs).unref();
      return undefined;
    }
  }
}
