const first = 250;
const least = 25;
const most = 4_000;
/** A larger size has to bring so much more to be kept. */
const worth = 1.08;
/** Rates at one size are of so many requests. */
const enough = 4;

/**
 * How many documents go into a request: doubled until that stops helping, halved when the server refuses. After a while it
 * is tried again, as documents and the server change.
 */
export class BulkSize {
  #size = first;
  #bestRate = 0;
  #settled = false;
  #requests = 0;
  #documents = 0;
  #spentMs = 0;
  #sinceSettled = 0;

  get current(): number {
    return this.#size;
  }

  /** A full request was answered. */
  taken(documents: number, tookMs: number): void {
    if (this.#settled) {
      this.#sinceSettled += 1;
      if (this.#sinceSettled > 500) this.#restart();
      return;
    }
    if (documents < this.#size) return;
    this.#requests += 1;
    this.#documents += documents;
    this.#spentMs += tookMs;
    if (this.#requests >= enough) this.#judge(this.#documents / this.#spentMs);
  }

  /** The server has no room for such requests now. */
  refused(): void {
    this.#size = Math.max(least, Math.floor(this.#size / 2));
    this.#settle();
  }

  #judge(rate: number): void {
    if (rate < this.#bestRate * worth) {
      this.#size = Math.max(least, this.#size / 2);
      this.#settle();
      return;
    }
    this.#bestRate = rate;
    if (this.#size * 2 > most) this.#settle();
    else this.#size *= 2;
    this.#clear();
  }

  #settle(): void {
    this.#settled = true;
    this.#sinceSettled = 0;
    this.#clear();
  }

  #restart(): void {
    this.#settled = false;
    this.#bestRate = 0;
    this.#size = Math.max(least, Math.min(this.#size, most / 2));
    this.#clear();
  }

  #clear(): void {
    this.#requests = 0;
    this.#documents = 0;
    this.#spentMs = 0;
  }
}
