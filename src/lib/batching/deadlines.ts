import { AppError } from '../errors/app-error.ts';

interface Waiting {
  at: number;
  readonly expire: () => void;
}

const lookEveryMs = 20;

/**
 * Time-outs of very many short waits: one timer looks after all of them, and none is set for each. Time in which this process
 * stood still does not count: what it waits for may be there, and is only unread.
 */
export class Deadlines {
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;

  /** @throws AppError TIMEOUT, up to 20 ms later than it might be; what `work` throws. */
  within<T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        at: performance.now() + timeoutMs,
        expire: () => reject(new AppError('TIMEOUT', `${what} did not answer within ${timeoutMs} ms`, { timeoutMs })),
      };
      this.#waiting.add(waiting);
      if (!this.#timer) {
        this.#lookedAt = performance.now();
        this.#timer = setInterval(() => this.#look(), lookEveryMs).unref();
      }
      const settle =
        <V>(act: (value: V) => void) =>
        (value: V): void => {
          this.#waiting.delete(waiting);
          act(value);
        };
      void work.then(settle(resolve), settle(reject));
    });
  }

  #look(): void {
    const now = performance.now();
    const stoodStillMs = Math.max(0, now - this.#lookedAt - 2 * lookEveryMs);
    this.#lookedAt = now;
    for (const waiting of this.#waiting) {
      waiting.at += stoodStillMs;
      if (waiting.at > now) continue;
      this.#waiting.delete(waiting);
      waiting.expire();
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
