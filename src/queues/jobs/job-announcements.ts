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

  /** Calls `listener` at each announced change of the job, and after the connection was lost. Answers how to stop. */
  async listen(jobId: string, listener: Listener): Promise<() => void> {
    const listeners = this.#byJob.get(jobId) ?? new Set<Listener>();
    this.#byJob.set(jobId, listeners);
    listeners.add(listener);
    this.#stop ??= this.#subscription.listen(
      'treadle_jobs',
      (id) => this.#byJob.get(id)?.forEach((tell) => tell()),
      () => this.#byJob.forEach((all) => all.forEach((tell) => tell())),
    );
    await this.#stop;
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#byJob.get(jobId) === listeners) this.#byJob.delete(jobId);
    };
  }

  async close(): Promise<void> {
    await (
      await this.#stop
    )?.();
  }
}
