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
  /** The loop ends on purpose: it is watched no longer. */
  end(): void;
}

/** Knows the loops of a process and when each last turned, so that liveness means more than an open port. */
export class LoopWatch {
  readonly #loops = new Map<string, { readonly limitMs: number; beatAt: number }>();

  /** Watches a loop that turns at least once in `limitMs`; a name that is watched already starts anew. */
  watch(name: string, limitMs: number): WatchedLoop {
    const loop = { limitMs, beatAt: performance.now() };
    this.#loops.set(name, loop);
    return {
      beat: () => {
        loop.beatAt = performance.now();
      },
      end: () => {
        if (this.#loops.get(name) === loop) this.#loops.delete(name);
      },
    };
  }

  report(): readonly LoopReport[] {
    const now = performance.now();
    return [...this.#loops].map(([name, { limitMs, beatAt }]) => {
      const silentMs = Math.round(now - beatAt);
      return { name, silentMs, limitMs, alive: silentMs <= limitMs };
    });
  }
}
