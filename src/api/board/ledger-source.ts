import type { JobRecord, JobState } from '../../queues/ledger/job-record.ts';
import type { JobStore, QueueAdmin, QueueSummary } from '../../queues/ports.ts';
import type { BoardSource } from './board-source.ts';
import { newestFirst } from './newest-first.ts';

const pageSize = 100;
const summaryMs = 1_000;

/** Every job of the ledger, whatever carries it: BullMQ or, for maintenance, pg-boss. */
export class LedgerSource implements BoardSource {
  readonly #jobs: JobStore;
  readonly #queues: QueueAdmin;
  #summaries: { readonly list: Promise<readonly QueueSummary[]>; readonly until: number } | undefined;

  constructor(jobs: JobStore, queues: QueueAdmin) {
    this.#jobs = jobs;
    this.#queues = queues;
  }

  /** All queues; one look serves every queue the board draws at a time, and is at most a second old. */
  summaries(): Promise<readonly QueueSummary[]> {
    if (this.#summaries === undefined || this.#summaries.until < performance.now()) {
      const list = this.#queues.list();
      this.#summaries = { list, until: performance.now() + summaryMs };
      list.catch(() => this.forget());
    }
    return this.#summaries.list;
  }

  /** Something was changed: the next look is a new one. */
  forget(): void {
    this.#summaries = undefined;
  }

  async summary(queue: string): Promise<QueueSummary | undefined> {
    return (await this.summaries()).find(({ name }) => name === queue);
  }

  async counts(queue: string): Promise<Readonly<Partial<Record<JobState, number>>>> {
    return (await this.summary(queue))?.counts ?? {};
  }

  async list(queue: string, states: readonly JobState[], limit: number): Promise<readonly JobRecord[]> {
    const lists = await Promise.all(states.map((state) => this.#first(queue, state, limit)));
    return newestFirst(lists.flat()).slice(0, limit);
  }

  async find(queue: string, id: string): Promise<JobRecord | undefined> {
    const job = await this.#jobs.find(id);
    return job?.queue === queue ? job : undefined;
  }

  async retry(id: string): Promise<void> {
    await this.#jobs.retry(id);
    this.forget();
  }

  async promote(id: string): Promise<void> {
    await this.#jobs.promote(id);
    this.forget();
  }

  async remove(id: string): Promise<void> {
    await this.#jobs.remove(id);
    this.forget();
  }

  async #first(queue: string, state: JobState, limit: number): Promise<readonly JobRecord[]> {
    const found: JobRecord[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.#jobs.list({ queue, state }, { limit: Math.min(pageSize, limit - found.length), cursor });
      found.push(...page.items);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined && found.length < limit);
    return found;
  }
}
