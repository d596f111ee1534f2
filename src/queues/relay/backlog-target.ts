const secondsOfWork = 0.3;
const smallest = 40;
/** The rate is an average over about so long. */
const memoryMs = 100;
const bundleMs = 5;
const largestBundle = 8;
/** While nothing more is needed a few are let in all the same now and then, so that a tenant with one job gets its turn. */
const few = { jobs: 8, everyMs: 100 };

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * How many jobs should wait in a queue outside the ledger: about 0.3 s of work, at least twice what all workers run at
 * once. Fewer would let workers idle; more would fix the order of work too early.
 */
export class BacklogTarget {
  #perSecond = 0;
  #lastAt: number | undefined;
  #lastJobs = 0;
  #addedSince = 0;
  #filledAt = 0;
  /** Jobs in each of the entries added last, oldest first; as many as wait. */
  #sizes: number[] = [];

  /** About 5 ms of work, at most 8 jobs: one job where they take long, so that none waits for a worker that is busy. */
  get bundleSize(): number {
    return Math.min(largestBundle, Math.max(1, Math.floor((this.#perSecond * bundleMs) / 1_000)));
  }

  /** Notes how many entries wait at `nowMs` (monotonic), and answers how many jobs may be added. */
  room(entries: number, workers: number, nowMs: number): number {
    this.#sizes.splice(0, this.#sizes.length - entries);
    const jobs = sum(this.#sizes) + entries - this.#sizes.length;
    const elapsedMs = this.#lastAt === undefined ? 0 : nowMs - this.#lastAt;
    if (elapsedMs >= 20) {
      const taken = Math.max(0, this.#lastJobs + this.#addedSince - jobs);
      const keep = Math.exp(-elapsedMs / memoryMs);
      this.#perSecond = this.#perSecond * keep + ((taken * 1_000) / elapsedMs) * (1 - keep);
    }
    if (this.#lastAt === undefined || elapsedMs >= 20) {
      this.#lastAt = nowMs;
      this.#lastJobs = jobs;
      this.#addedSince = 0;
    }
    const target = Math.max(smallest, 2 * workers, Math.ceil(this.#perSecond * secondsOfWork));
    // Refilled when half of it is gone: fewer, larger batches.
    const most = jobs <= target / 2 ? target : nowMs - this.#filledAt >= few.everyMs ? few.jobs : 0;
    const room = Math.max(0, Math.min(most, target - jobs));
    if (room > 0) this.#filledAt = nowMs;
    return room;
  }

  /** Notes that entries were added: how many jobs each of them holds. */
  added(sizes: readonly number[]): void {
    this.#sizes.push(...sizes);
    this.#addedSince += sum(sizes);
  }

  /** Notes that the queue lost what it held. */
  emptied(): void {
    this.#sizes = [];
  }
}
