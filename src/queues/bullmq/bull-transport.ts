import type { JobsOptions } from 'bullmq';
import { isBundle, type QueueEntry, type QueueTransport } from '../transport.ts';
import type { BullConnection, BullData, BullQueue } from './bull-connection.ts';

const present = new Set(['waiting', 'prioritized', 'delayed', 'active', 'waiting-children']);

/** Nothing finished is kept in BullMQ: the ledger keeps what is worth keeping, and the same id must be free to come again. */
const jobOptions = (id: string, first: boolean): JobsOptions => ({
  jobId: id,
  removeOnComplete: true,
  removeOnFail: true,
  ...(first ? { lifo: true } : {}),
});

const bundleName = 'treadle.bundle';

const bullJobOf = (entry: QueueEntry, first: boolean): { name: string; data: BullData; opts: JobsOptions } => {
  const opts = jobOptions(entry.id, first);
  return isBundle(entry)
    ? { name: bundleName, data: { items: entry.items }, opts }
    : { name: entry.name, data: entry.envelope, opts };
};

/** A BullMQ queue as the relay sees it. */
export class BullTransport implements QueueTransport {
  readonly kind = 'bullmq';
  readonly bundles = true;
  readonly queue: string;
  readonly bull: BullQueue;
  readonly #connection: BullConnection;

  constructor(connection: BullConnection, queue: string) {
    this.queue = queue;
    this.#connection = connection;
    this.bull = connection.openQueue(queue);
  }

  epoch(): Promise<string> {
    return this.#connection.epoch(this.queue);
  }

  outages(): number {
    return this.#connection.outages();
  }

  async add(entries: readonly QueueEntry[], { first = false }: { readonly first?: boolean } = {}): Promise<void> {
    const jobs = entries.map((entry) => bullJobOf(entry, first));
    // To Redis the commands go out together and in order anyway, and cost less than BullMQ's transaction around them.
    if (jobs.length === 1 || this.#connection.backend === 'redis')
      await Promise.all(jobs.map(({ name, data, opts }) => this.bull.add(name, data, opts)));
    else await this.bull.addBulk(jobs);
  }

  async backlog(): Promise<number> {
    const counts = await this.bull.getJobCounts('wait');
    return counts['wait'] ?? 0;
  }

  async known(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const states = await Promise.all(ids.map((id) => this.bull.getJobState(id)));
    return new Set(ids.filter((_, index) => present.has(states[index] ?? 'unknown')));
  }

  async remove(ids: readonly string[]): Promise<ReadonlySet<string>> {
    // BullMQ refuses to remove a job that a worker has locked.
    const removed = await Promise.all(ids.map((id) => this.bull.remove(id)));
    return new Set(ids.filter((_, index) => removed[index] === 1));
  }

  async setPaused(paused: boolean): Promise<void> {
    await (paused ? this.bull.pause() : this.bull.resume());
  }

  close(): Promise<void> {
    return this.bull.close();
  }
}
