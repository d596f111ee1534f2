const secondsOfWork = 0.3;
const smallest = 40;

/**
 * How many jobs should wait in a queue outside the ledger: about 0.3 s of work, at least twice what all workers run at
 * once. Fewer would let workers idle; more would fix the order of work too early.
 */
export class BacklogTarget {
  #perSecond = 0;
  #lastAt: number | undefined;
  #lastBacklog = 0;
  #addedSince = 0;

  /** Notes the backlog seen at `nowMs` (monotonic), and answers how many jobs may be added. */
  room(backlog: number, workers: number, nowMs: number): number {
    if (this.#lastAt !== undefined && nowMs - this.#lastAt >= 20) {
      const taken = Math.max(0, this.#lastBacklog + this.#addedSince - backlog);
      const rate = (taken * 1_000) / (nowMs - this.#lastAt);
      this.#perSecond = this.#perSecond * 0.7 + rate * 0.3;
      this.#reset(backlog, nowMs);
    } else if (this.#lastAt === undefined) {
      this.#reset(backlog, nowMs);
    }
    const target = Math.max(smallest, 2 * workers, Math.ceil(this.#perSecond * secondsOfWork));
    // Refilled when half of it is gone: fewer, larger batches.
    return backlog > target / 2 ? 0 : target - backlog;
  }

  added(count: number): void {
    this.#addedSince += count;
  }

  #reset(backlog: number, nowMs: number): void {
    this.#lastAt = nowMs;
    this.#lastBacklog = backlog;
    this.#addedSince = 0;
  }
}
