/** Why a job has no slot: it gets one now, or has waited for it too long. */
export type SlotAnswer = 'taken' | 'too-long';

interface Waiting {
  readonly grant: () => void;
  granted: boolean;
}

/** At most so many handlers run at once; jobs beyond them wait for a slot, a short time only. */
export class HandlerSlots {
  readonly #limit: number;
  readonly #maxWaitMs: number;
  readonly #queue: Waiting[] = [];
  #running = 0;

  constructor(limit: number, maxWaitMs: number) {
    this.#limit = limit;
    this.#maxWaitMs = maxWaitMs;
  }

  /** True when a slot is free; it is taken then. */
  tryTake(): boolean {
    if (this.#running >= this.#limit) return false;
    this.#running += 1;
    return true;
  }

  /** Waits for a slot, in order of asking. */
  take(): Promise<SlotAnswer> {
    return new Promise((resolve) => {
      const waiting: Waiting = {
        granted: false,
        grant: () => {
          clearTimeout(timer);
          waiting.granted = true;
          resolve('taken');
        },
      };
      const timer = setTimeout(() => {
        if (waiting.granted) return;
        this.#queue.splice(this.#queue.indexOf(waiting), 1);
        resolve('too-long');
      }, this.#maxWaitMs);
      this.#queue.push(waiting);
    });
  }

  /** Gives a slot back: to whoever waits longest, if anybody does. */
  free(): void {
    const next = this.#queue.shift();
    if (next) next.grant();
    else this.#running -= 1;
  }
}
