/** A wake-up call that is not lost when nobody waits for it yet. */
export class Bell {
  #rung = Promise.withResolvers<void>();

  ring(): void {
    this.#rung.resolve();
  }

  /** Resolves at the next ring, at once if it rang since the last wait, or when the time is over. */
  async wait(ms: number): Promise<void> {
    const timer = setTimeout(() => this.ring(), ms);
    await this.#rung.promise;
    clearTimeout(timer);
    this.#rung = Promise.withResolvers();
  }
}
