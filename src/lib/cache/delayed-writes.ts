import type { Log } from '../log/create-log.ts';

type Persist = () => Promise<void>;

const firstWaitMs = 100;
const longestWaitMs = 30_000;
const writers = 4;

/** Writes to a source a moment later: of several for one key the last. One that fails is tried again. Lost with the process. */
export class DelayedWrites {
  readonly #log: Log;
  readonly #pending = new Map<string, Persist>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #failures = 0;
  #closed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  get size(): number {
    return this.#pending.size;
  }

  add(key: string, persist: Persist): void {
    this.#pending.delete(key);
    this.#pending.set(key, persist);
    this.#schedule();
  }

  /** Writes what there is. What fails stays for later. */
  async flush(): Promise<void> {
    await this.#writing;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Tries once more; tells of what could not be written. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.flush();
    if (this.size > 0) this.#log.error({ event: 'cache.writes-lost', writes: this.size });
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#closed) return;
    const waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(this.#failures, 10));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, waitMs).unref();
  }

  async #write(): Promise<void> {
    const batch = [...this.#pending];
    let failed = false;
    const work = async (): Promise<void> => {
      for (let next = batch.shift(); next; next = batch.shift()) {
        const [key, persist] = next;
        try {
          await persist();
          // Another one may have come for the key.
          if (this.#pending.get(key) === persist) this.#pending.delete(key);
        } catch (error) {
          failed = true;
          this.#log.warn({ event: 'cache.write-behind-failed', entity: key.split(':', 1)[0], err: error });
        }
      }
    };
    await Promise.all(Array.from({ length: writers }, work));
    this.#failures = failed ? this.#failures + 1 : 0;
    if (this.size > 0) this.#schedule();
  }
}
