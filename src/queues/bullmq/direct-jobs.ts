import { AppError } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobRegistry } from '../job-registry.ts';
import type { JobRecord, JobState } from '../ledger/job-record.ts';
import type { Transports } from '../open-transports.ts';
import type { ShowJob } from '../payloads/show-job.ts';
import type { Envelope } from '../transport.ts';
import type { BullJob, BullQueue } from './bull-connection.ts';
import { BullTransport } from './bull-transport.ts';

export interface DirectJobsParts {
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly transports: Transports;
  readonly show: ShowJob;
}

const bullStates = { waiting: 'wait', active: 'active' } as const;
type DirectState = keyof typeof bullStates;
const isDirectState = (state: JobState): state is DirectState => state in bullStates;

/** Relayed jobs lie between the direct ones; so many are read for each that is asked for. */
const readMost = 2_000;

const envelopeOf = ({ data }: BullJob): Envelope | undefined => ('items' in data || data.tracked ? undefined : data);

/** Undefined for what the relay put there. */
const recordOf = (job: BullJob, queue: string, state: DirectState): JobRecord | undefined => {
  const envelope = envelopeOf(job);
  if (!envelope) return undefined;
  return {
    id: job.id ?? '',
    name: job.name,
    queue,
    state,
    priority: 5,
    tenant: envelope.tenant,
    payload: envelope.payload,
    tags: [],
    attemptsAllowed: envelope.attemptsAllowed,
    attemptsMade: envelope.attemptsMade,
    timeoutMs: envelope.timeoutMs,
    deduplicationKey: null,
    parentId: null,
    scheduleName: null,
    dueAt: new Date(job.timestamp),
    createdAt: new Date(job.timestamp),
    startedAt: job.processedOn === undefined ? null : new Date(job.processedOn),
    finishedAt: null,
    worker: null,
    progress: null,
    failures: [],
    result: null,
    error: null,
    children: null,
  };
};

/** Jobs that were enqueued straight to a queue, while they wait or run there: the ledger learns of them only when they fail. */
export class DirectJobs {
  readonly #parts: DirectJobsParts;

  constructor(parts: DirectJobsParts) {
    this.#parts = parts;
  }

  /** What the queue holds beyond the jobs that the relay put there. */
  async counts(queue: string): Promise<Readonly<Partial<Record<JobState, number>>>> {
    const bull = await this.#bull(queue);
    if (!bull) return {};
    const [held, { rows }] = await Promise.all([
      bull.getJobCounts('wait', 'active'),
      this.#parts.postgres.query<{ relayed: number }>(
        `SELECT (count(DISTINCT bundle) + count(*) FILTER (WHERE bundle IS NULL))::integer AS relayed
         FROM treadle.jobs WHERE queue = $1 AND state IN ('waiting', 'active')`,
        [queue],
      ),
    ]);
    const active = held['active'] ?? 0;
    const direct = Math.max(0, (held['wait'] ?? 0) + active - (rows[0]?.relayed ?? 0));
    return { waiting: Math.max(0, direct - active), active: Math.min(direct, active) };
  }

  async list(queue: string, states: readonly JobState[], limit: number): Promise<readonly JobRecord[]> {
    const bull = await this.#bull(queue);
    if (!bull) return [];
    const found = await Promise.all(states.filter(isDirectState).map(async (state) => this.#read(bull, queue, state)));
    return found.flat().slice(0, limit);
  }

  async find(queue: string, id: string): Promise<JobRecord | undefined> {
    const job = await (await this.#bull(queue))?.getJob(id);
    const record = job && recordOf(job, queue, job.processedOn === undefined ? 'waiting' : 'active');
    return record && this.#parts.show(record);
  }

  retry(id: string): Promise<void> {
    return Promise.reject(this.#conflict(id, 'retried'));
  }

  promote(id: string): Promise<void> {
    return Promise.reject(this.#conflict(id, 'promoted'));
  }

  /** Takes a waiting job out of whichever queue holds it. */
  async remove(id: string): Promise<void> {
    for (const queue of this.#queues()) {
      if (!(await this.find(queue, id))) continue;
      const removed = await (await this.#parts.transports.of(queue)).remove([id]);
      if (!removed.has(id)) throw this.#conflict(id, 'removed');
    }
  }

  #conflict(id: string, verb: string): AppError {
    return new AppError(
      'DATA_CONSISTENCY_ERROR',
      `a job that was enqueued straight to its queue cannot be ${verb} there`,
      { entity: 'job', entityId: id },
    );
  }

  /** The queues whose jobs may come around the ledger. */
  #queues(): readonly string[] {
    const { contracts } = this.#parts.registry;
    return [...new Set(contracts.filter(({ durability }) => durability === 'queue').map(({ queue }) => queue))];
  }

  async #bull(queue: string): Promise<BullQueue | undefined> {
    if (!this.#queues().includes(queue)) return undefined;
    const transport = await this.#parts.transports.of(queue);
    return transport instanceof BullTransport ? transport.bull : undefined;
  }

  async #read(bull: BullQueue, queue: string, state: DirectState): Promise<readonly JobRecord[]> {
    const jobs = await bull.getJobs([bullStates[state]], 0, readMost - 1);
    return jobs.flatMap((job) => recordOf(job, queue, state) ?? []).map(this.#parts.show);
  }
}
