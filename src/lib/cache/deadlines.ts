import { AppError } from '../errors/app-error.ts';

interface Waiting {
  readonly at: number;
  readonly expire: () => void;
}

const lookEveryMs = 20;

/** Time-outs of very many short waits: one timer looks after all of them, and none is set for each. */
export class Deadlines {
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | undefined;

  /** @throws AppError TIMEOUT, up to 20 ms later than it might be; what `work` throws. */
  within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        at: performance.now() + timeoutMs,
        expire: () => reject(new AppError('TIMEOUT', `Redis did not answer within ${timeoutMs} ms`, { timeoutMs })),
      };
      this.#waiting.add(waiting);
      this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref();
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
    for (const waiting of this.#waiting) {
      if (waiting.at > now) continue;
      this.#waiting.delete(waiting);
      waiting.expire();
    }
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
