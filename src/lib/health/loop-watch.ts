/** How one loop of this process is doing. */
export interface LoopReport {
  readonly name: string;
  /** Since its last beat. */
  readonly silentMs: number;
  readonly limitMs: number;
  readonly alive: boolean;
}

/** What a loop does to be known as alive. */
export interface WatchedLoop {
  /** Once a turn, also when there was nothing to do. */
  beat(): void;
  /** The loop does nothing until its next beat, however long that takes. */
  rest(): void;
  /** The loop ends on purpose: it is watched no longer. */
  end(): void;
}

/** Knows the loops of a process and when each last turned, so that liveness means more than an open port. */
export class LoopWatch {
  readonly #now: () => number;
  readonly #loops = new Map<string, { readonly limitMs: number; beatAt: number }>();

  /** `now`: a clock in ms that only goes forward. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Watches a loop that turns at least once in `limitMs`; a name that is watched already starts anew. */
  watch(name: string, limitMs: number): WatchedLoop {
    const loop = { limitMs, beatAt: this.#now() };
    this.#loops.set(name, loop);
    return {
      beat: () => {
        loop.beatAt = this.#now();
      },
      rest: () => {
        loop.beatAt = Number.POSITIVE_INFINITY;
      },
      end: () => {
        if (this.#loops.get(name) === loop) this.#loops.delete(name);
      },
    };
  }

  report(): readonly LoopReport[] {
    const now = this.#now();
    return [...this.#loops].map(([name, { limitMs, beatAt }]) => {
      const silentMs = Math.max(0, Math.round(now - beatAt));
      return { name, silentMs, limitMs, alive: silentMs <= limitMs };
    });
  }
}
