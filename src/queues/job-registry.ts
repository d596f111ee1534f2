import { z } from 'zod';
import { AppError, notFound } from '../lib/errors/app-error.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import type { JobContract } from './define-job.ts';
import type { QueueDefinition } from './define-queue.ts';

/** The contracts and queues a process knows. */
export class JobRegistry {
  readonly #contracts = new Map<string, JobContract>();
  readonly #queues = new Map<string, QueueDefinition>();

  /** @throws AppError CONFIGURATION_ERROR for two contracts of one name, or a contract whose queue is not defined. */
  constructor(contracts: readonly JobContract[], queues: readonly QueueDefinition[]) {
    for (const queue of queues) this.#queues.set(queue.name, queue);
    for (const contract of contracts) {
      if (this.#contracts.has(contract.name)) {
        throw new AppError('CONFIGURATION_ERROR', `two jobs are named ${contract.name}`, {});
      }
      if (!this.#queues.has(contract.queue)) {
        throw new AppError(
          'CONFIGURATION_ERROR',
          `the job ${contract.name} names the queue ${contract.queue}, which is not defined`,
          {},
        );
      }
      this.#contracts.set(contract.name, contract);
    }
  }

  get contracts(): readonly JobContract[] {
    return [...this.#contracts.values()];
  }

  get queues(): readonly QueueDefinition[] {
    return [...this.#queues.values()];
  }

  find(name: string): JobContract | undefined {
    return this.#contracts.get(name);
  }

  /** @throws AppError NOT_FOUND for a name without a contract. */
  get(name: string): JobContract {
    const contract = this.#contracts.get(name);
    if (!contract) throw notFound('job', name);
    return contract;
  }

  queue(name: string): QueueDefinition {
    const queue = this.#queues.get(name);
    if (!queue) throw notFound('queue', name);
    return queue;
  }
}

const upsert = `
  INSERT INTO treadle.contracts AS known (name, queue, attempts, timeout_ms, priority, deduplicate_by, durability, payload_schema)
  SELECT name, queue, attempts, timeout_ms, priority, deduplicate_by, durability, payload_schema
  FROM jsonb_to_recordset($1) AS given (name text, queue text, attempts smallint, timeout_ms integer, priority smallint,
    deduplicate_by text[], durability text, payload_schema jsonb)
  ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, attempts = excluded.attempts, timeout_ms = excluded.timeout_ms,
    priority = excluded.priority, deduplicate_by = excluded.deduplicate_by, durability = excluded.durability,
    payload_schema = excluded.payload_schema, updated_at = now()
  WHERE (known.queue, known.attempts, known.timeout_ms, known.priority, known.deduplicate_by, known.durability, known.payload_schema)
    IS DISTINCT FROM (excluded.queue, excluded.attempts, excluded.timeout_ms, excluded.priority, excluded.deduplicate_by,
      excluded.durability, excluded.payload_schema)`;

const payloadSchemaOf = (contract: JobContract): unknown =>
  z.toJSONSchema(contract.payload, { unrepresentable: 'any', io: 'input' });

/** Tells `treadle.enqueue` in the database which jobs there are. Run by `treadle migrate up` and at every start. */
export const publishContracts = async (db: Queryable, registry: JobRegistry): Promise<void> => {
  const rows = registry.contracts
    .map((contract) => ({
      name: contract.name,
      queue: contract.queue,
      attempts: contract.attempts,
      timeout_ms: contract.timeoutMs,
      priority: contract.priority,
      deduplicate_by: contract.deduplicateBy,
      durability: contract.durability,
      payload_schema: payloadSchemaOf(contract),
    }))
    // The same order everywhere, so that processes starting together don't deadlock.
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  await db.query(upsert, [JSON.stringify(rows)]);
};
