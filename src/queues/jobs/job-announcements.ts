import type { Subscription } from '../../lib/postgres/subscription.ts';

type Listener = () => void;

/** Tells of changes of single jobs, by NOTIFY. */
export class JobAnnouncements {
  readonly #subscription: Subscription;
  readonly #byJob = new Map<string, Set<Listener>>();
  #stop: Promise<() => Promise<void>> | undefined;

  constructor(subscription: Subscription) {
    this.#subscription = subscription;
  }

  /**
   * Calls `listener` at each announced change of the job, and after the connection was lost. Answers how to stop, once it
   * listens or `signal` aborts.
   */
  async listen(jobId: string, listener: Listener, signal: AbortSignal): Promise<() => void> {
    const listeners = this.#byJob.get(jobId) ?? new Set<Listener>();
    this.#byJob.set(jobId, listeners);
    listeners.add(listener);
    this.#stop ??= this.#subscription.listen(
      'treadle_jobs',
      (id) => this.#byJob.get(id)?.forEach((tell) => tell()),
      () => this.#byJob.forEach((all) => all.forEach((tell) => tell())),
    );
    await this.#untilListening(signal);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#byJob.get(jobId) === listeners) this.#byJob.delete(jobId);
    };
  }

  close(): Promise<void> {
    void this.#stop?.then((stop) => stop());
    return Promise.resolve();
  }

  async #untilListening(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const aborted = Promise.withResolvers<void>();
    const resolve = (): void => aborted.resolve();
    signal.addEventListener('abort', resolve, { once: true });
    await Promise.race([this.#stop, aborted.promise]).finally(() => signal.removeEventListener('abort', resolve));
  }
}
