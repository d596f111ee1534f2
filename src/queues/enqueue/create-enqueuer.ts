import { AppError, validationError, type Fault } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { activeTraceparent } from '../../lib/telemetry/tracing.ts';
import type { JobContract } from '../define-job.ts';
import { insertFlow } from '../flows/insert-flow.ts';
import { prepareFlow, type FlowNode } from '../flows/prepare-flow.ts';
import type { JobRegistry } from '../job-registry.ts';
import { batchesOf } from '../ledger/batches-of.ts';
import { insertJobs, needsTransaction } from '../ledger/insert-jobs.ts';
import type { AcceptedJob, EnqueueContext, EnqueueOptions, Enqueuer, EnqueueRequest } from '../ports.ts';
import type { QueueItem } from '../transport.ts';
import { prepareJob, type PreparedJob } from './prepare-job.ts';
import { isHashOf, requestHash } from './request-hash.ts';

/** Puts items straight into a queue, around the ledger. */
export type AddDirectly = (queue: string, items: readonly QueueItem[]) => Promise<void>;

export interface EnqueuerParts {
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly addDirectly: AddDirectly;
}

const ledgerOnly = [
  'delayMs',
  'runAt',
  'debounceMs',
  'debounceMaxMs',
  'throttleMs',
  'tenant',
  'tags',
  'deduplicationKey',
  'idempotencyKey',
  'parent',
] as const;

const refuseLedgerOptions = (job: PreparedJob): void => {
  const given = ledgerOnly.filter((option) => job.options[option] !== undefined);
  if (given.length === 0) return;
  throw validationError(
    `the job ${job.contract.name}`,
    given.map((option) => ({
      path: `options.${option}`,
      message: 'is not for jobs whose durability is queue, unless in a transaction',
    })),
  );
};

const directItem = (job: PreparedJob, traceparent: string | undefined): QueueItem => ({
  id: job.id,
  name: job.contract.name,
  envelope: {
    payload: job.payload,
    tenant: job.tenant,
    attemptsMade: 0,
    attemptsAllowed: job.options.attempts ?? job.contract.attempts,
    timeoutMs: job.options.timeoutMs ?? job.contract.timeoutMs,
    returns: 0,
    tracked: false,
    ...(traceparent === undefined ? {} : { traceparent }),
  },
});

/** The one way into Treadle for TypeScript; HTTP and the command line go through it too. */
class LedgerEnqueuer implements Enqueuer {
  readonly #parts: EnqueuerParts;

  constructor(parts: EnqueuerParts) {
    this.#parts = parts;
  }

  async enqueue(
    contract: JobContract,
    payload: unknown,
    options: EnqueueOptions & EnqueueContext = {},
  ): Promise<AcceptedJob> {
    const { tx, ...rest } = options;
    const job = this.#prepare(contract, payload, rest);
    if (contract.durability === 'queue' && !tx) {
      const [accepted] = await this.#direct([job]);
      if (accepted) return accepted;
    }
    return this.#accept(job, tx, contract.name);
  }

  async enqueueMany(
    contract: JobContract,
    payloads: readonly unknown[],
    options: Omit<EnqueueOptions, 'idempotencyKey'> & EnqueueContext = {},
  ): Promise<readonly AcceptedJob[]> {
    const { tx, ...rest } = options;
    const jobs = this.#prepareAll(payloads.map((payload) => ({ contract, payload, options: rest })));
    if (contract.durability === 'queue' && !tx) return this.#direct(jobs);
    return this.#insertAll(jobs, tx);
  }

  async enqueueByName(
    request: EnqueueRequest,
    { tx, idempotencyScope }: EnqueueContext & { readonly idempotencyScope?: string } = {},
  ): Promise<AcceptedJob> {
    const contract = this.#ledgerContract(request.name);
    return this.#accept(
      this.#prepare(contract, request.payload, request.options),
      tx,
      idempotencyScope ?? contract.name,
    );
  }

  async enqueueBatch(
    requests: readonly EnqueueRequest[],
    { tx }: EnqueueContext = {},
  ): Promise<readonly AcceptedJob[]> {
    const faults: Fault[] = [];
    const known = requests.flatMap((request, index) => {
      try {
        return [{ contract: this.#ledgerContract(request.name), payload: request.payload, options: request.options }];
      } catch (error) {
        faults.push({
          path: `jobs[${index}].name`,
          message: error instanceof Error ? error.message : 'is unknown',
          index,
        });
        return [];
      }
    });
    return this.#insertAll(this.#prepareAll(known, faults, requests), tx);
  }

  async enqueueFlow(root: FlowNode, { tx }: EnqueueContext = {}): Promise<AcceptedJob> {
    const nodes = prepareFlow(root, this.#parts.registry.keys);
    const insert = (db: Queryable): Promise<void> => insertFlow(db, nodes);
    await (tx ? insert(tx) : this.#parts.postgres.transaction(insert, { name: 'enqueue-flow' }));
    const { id, contract } = nodes[0]?.job ?? { id: '', contract: root.contract };
    const state = root.children.length > 0 ? 'waiting-children' : 'accepted';
    return { id, queue: contract.queue, name: contract.name, state };
  }

  #prepare(contract: JobContract, payload: unknown, options?: EnqueueOptions): PreparedJob {
    const prepared = prepareJob(contract, payload, options, this.#parts.registry.keys);
    if ('faults' in prepared) throw validationError(`the job ${contract.name}`, prepared.faults);
    return prepared.job;
  }

  #ledgerContract(name: string): JobContract {
    const contract = this.#parts.registry.get(name);
    if (contract.durability === 'ledger') return contract;
    throw validationError(`the job ${name}`, [
      { path: 'name', message: 'goes straight to its queue, and can be enqueued from TypeScript only' },
    ]);
  }

  #prepareAll(
    entries: readonly {
      readonly contract: JobContract;
      readonly payload: unknown;
      readonly options?: EnqueueOptions | undefined;
    }[],
    before: readonly Fault[] = [],
    requests?: readonly EnqueueRequest[],
  ): readonly PreparedJob[] {
    const faults = [...before];
    const failed = new Set(before.map((fault) => fault.index));
    const positions = (requests ?? entries).map((_, index) => index).filter((index) => !failed.has(index));
    const jobs = entries.flatMap((entry, index) => {
      const position = positions[index] ?? index;
      const prepared = prepareJob(entry.contract, entry.payload, entry.options, this.#parts.registry.keys);
      if ('job' in prepared) return [prepared.job];
      faults.push(
        ...prepared.faults.map((fault) => ({ ...fault, path: `jobs[${position}].${fault.path}`, index: position })),
      );
      return [];
    });
    if (faults.length > 0)
      throw validationError(
        'the batch',
        faults.toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0)),
      );
    return jobs;
  }

  async #accept(job: PreparedJob, tx: Queryable | undefined, scope: string): Promise<AcceptedJob> {
    const key = job.options.idempotencyKey;
    if (key === undefined) {
      const [accepted] = await this.#insertAll([job], tx);
      if (accepted) return accepted;
      throw new AppError('INTERNAL_ERROR', 'the ledger did not answer the job it accepted', {});
    }
    if (tx) return this.#acceptOnce(tx, job, scope, key);
    return this.#parts.postgres.transaction((own) => this.#acceptOnce(own, job, scope, key), { name: 'enqueue' });
  }

  async #acceptOnce(tx: Queryable, job: PreparedJob, scope: string, key: string): Promise<AcceptedJob> {
    const { keys } = this.#parts.registry;
    const hash = requestHash(job, keys);
    const claimed = await tx.query(
      `INSERT INTO treadle.idempotency_keys (scope, key, request_hash, job_id) VALUES ($1, $2, $3, $4) ON CONFLICT (scope, key) DO NOTHING`,
      [scope, key, hash, job.id],
    );
    if (claimed.rowCount === 1) {
      const [accepted] = await insertJobs(tx, [job]);
      if (accepted && accepted.id !== job.id) {
        await tx.query('UPDATE treadle.idempotency_keys SET job_id = $3 WHERE scope = $1 AND key = $2', [
          scope,
          key,
          accepted.id,
        ]);
      }
      if (accepted) return accepted;
    }
    const { rows } = await tx.query<{ request_hash: string; job_id: string; state: AcceptedJob['state'] | null }>(
      `SELECT k.request_hash, k.job_id, (SELECT j.state FROM treadle.all_jobs AS j WHERE j.id = k.job_id LIMIT 1) AS state
       FROM treadle.idempotency_keys AS k WHERE k.scope = $1 AND k.key = $2`,
      [scope, key],
    );
    const [known] = rows;
    if (!known || !isHashOf(known.request_hash, job, keys)) {
      throw new AppError('IDEMPOTENCY_CONFLICT', 'the idempotency key was used with another request', {
        idempotencyKey: key,
      });
    }
    return { id: known.job_id, queue: job.contract.queue, name: job.contract.name, state: known.state ?? 'completed' };
  }

  async #insertAll(jobs: readonly PreparedJob[], tx: Queryable | undefined): Promise<readonly AcceptedJob[]> {
    const batches = batchesOf(jobs, (job) => job);
    if (tx || (batches.length <= 1 && !needsTransaction(jobs)))
      return this.#insertBatches(tx ?? this.#parts.postgres, batches);
    return this.#parts.postgres.transaction((own) => this.#insertBatches(own, batches), { name: 'enqueue-many' });
  }

  async #insertBatches(db: Queryable, batches: readonly (readonly PreparedJob[])[]): Promise<readonly AcceptedJob[]> {
    const accepted: AcceptedJob[] = [];
    for (const batch of batches) accepted.push(...(await insertJobs(db, batch)));
    return accepted;
  }

  async #direct(jobs: readonly PreparedJob[]): Promise<readonly AcceptedJob[]> {
    for (const job of jobs) refuseLedgerOptions(job);
    const [first] = jobs;
    if (!first) return [];
    // A queue carries no large payloads, and who is asked for one waits for its row anyway.
    if (jobs.some(({ largeBytes }) => largeBytes !== undefined)) return this.#insertAll(jobs, undefined);
    const traceparent = activeTraceparent();
    const items = jobs.map((job) => directItem(job, traceparent));
    await this.#parts.addDirectly(first.contract.queue, items);
    return jobs.map((job) => ({ id: job.id, queue: job.contract.queue, name: job.contract.name, state: 'waiting' }));
  }
}

export const createEnqueuer = (parts: EnqueuerParts): Enqueuer => new LedgerEnqueuer(parts);
