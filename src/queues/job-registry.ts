import { z } from 'zod';
import { AppError, notFound } from '../lib/errors/app-error.ts';
import { KeyRing } from '../lib/crypto/key-ring.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import type { JobContract } from './define-job.ts';
import type { QueueDefinition } from './define-queue.ts';
import type { Secrets } from './payloads/show-job.ts';
import { overlap } from './payloads/value-paths.ts';

const hasSecrets = ({ encrypt, redact, redactResult }: Secrets): boolean =>
  encrypt.length + redact.length + redactResult.length > 0;

/** The contracts and queues a process knows, and the keys that their encrypted fields need. */
export class JobRegistry {
  readonly keys: KeyRing;
  readonly #contracts = new Map<string, JobContract>();
  readonly #queues = new Map<string, QueueDefinition>();
  readonly #secrets = new Map<string, Secrets>();

  /**
   * @throws AppError CONFIGURATION_ERROR for two contracts of one name, a contract whose queue is not defined, or one that
   * encrypts while there is no key.
   */
  constructor(contracts: readonly JobContract[], queues: readonly QueueDefinition[], keys: KeyRing = new KeyRing([])) {
    this.keys = keys;
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
      if (contract.encrypt.length > 0 && keys.currentId === undefined) {
        const message = `must be set: the job ${contract.name} encrypts ${contract.encrypt.join(', ')}`;
        throw new AppError('CONFIGURATION_ERROR', `TREADLE_ENCRYPTION_KEYS ${message}`, {
          faults: [{ variable: 'TREADLE_ENCRYPTION_KEYS', message }],
        });
      }
      this.#contracts.set(contract.name, contract);
      this.keepSecrets(contract.name, contract);
    }
  }

  /** Remembers what a job hides, also one whose contract this process does not have. */
  keepSecrets(name: string, secrets: Secrets): void {
    if (hasSecrets(secrets)) this.#secrets.set(name, secrets);
  }

  /** The jobs that hide something at the path of a payload. */
  jobsHiding(path: string): readonly string[] {
    return [...this.#secrets].flatMap(([name, { encrypt, redact }]) =>
      [...encrypt, ...redact].some((hidden) => overlap(hidden, path)) ? name : [],
    );
  }

  /** What a job hides; undefined when that is nothing. */
  secretsOf(name: string): Secrets | undefined {
    return this.#secrets.get(name);
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

const types = {
  name: 'text',
  queue: 'text',
  attempts: 'smallint',
  timeout_ms: 'integer',
  priority: 'smallint',
  deduplicate_by: 'text[]',
  durability: 'text',
  debounce_ms: 'bigint',
  debounce_max_ms: 'bigint',
  throttle_ms: 'bigint',
  encrypt: 'text[]',
  redact: 'text[]',
  redact_result: 'text[]',
  payload_schema: 'jsonb',
  group_by: 'text[]',
  group_concurrency: 'integer',
  group_rate_max: 'integer',
  group_rate_per_ms: 'integer',
  batch_size: 'smallint',
} as const;
type ContractRow = Record<keyof typeof types, unknown>;

const columns = Object.keys(types);
const changing = columns.filter((column) => column !== 'name');
const listed = (prefix: string): string => changing.map((column) => `${prefix}.${column}`).join(', ');

const upsert = `
  INSERT INTO treadle.contracts AS known (${columns.join(', ')})
  SELECT ${columns.join(', ')}
  FROM jsonb_to_recordset($1) AS given (${Object.entries(types)
    .map(([column, type]) => `${column} ${type}`)
    .join(', ')})
  ON CONFLICT (name) DO UPDATE SET ${changing.map((column) => `${column} = excluded.${column}`).join(', ')}, updated_at = now()
  WHERE (${listed('known')}) IS DISTINCT FROM (${listed('excluded')})`;

interface SecretsRow extends Record<string, unknown> {
  readonly name: string;
  readonly encrypt: readonly string[];
  readonly redact: readonly string[];
  readonly redact_result: readonly string[];
}

const payloadSchemaOf = (contract: JobContract): unknown =>
  z.toJSONSchema(contract.payload, { unrepresentable: 'any', io: 'input' });

/**
 * Tells `treadle.enqueue` in the database which jobs there are, and the registry what jobs of other processes hide. Run by
 * `treadle migrate up` and at every start.
 */
export const publishContracts = async (db: Queryable, registry: JobRegistry): Promise<void> => {
  const rows = registry.contracts
    .map((contract): ContractRow => ({
      name: contract.name,
      queue: contract.queue,
      attempts: contract.attempts,
      timeout_ms: contract.timeoutMs,
      priority: contract.priority,
      deduplicate_by: contract.deduplicateBy,
      durability: contract.durability,
      debounce_ms: contract.debounceMs,
      debounce_max_ms: contract.debounceMaxMs,
      throttle_ms: contract.throttleMs,
      encrypt: contract.encrypt,
      redact: contract.redact,
      redact_result: contract.redactResult,
      payload_schema: payloadSchemaOf(contract),
      group_by: contract.groupBy,
      group_concurrency: contract.groupLimit?.concurrency,
      group_rate_max: contract.groupLimit?.rate?.max,
      group_rate_per_ms: contract.groupLimit?.rate?.perMs,
      batch_size: contract.batchSize,
    }))
    // The same order everywhere, so that processes starting together don't deadlock.
    .toSorted((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
  await db.query(upsert, [JSON.stringify(rows)]);
  const { rows: others } = await db.query<SecretsRow>(
    'SELECT name, encrypt, redact, redact_result FROM treadle.contracts WHERE name <> ALL ($1)',
    [rows.map(({ name }) => name)],
  );
  for (const { name, encrypt, redact, redact_result: redactResult } of others)
    registry.keepSecrets(name, { encrypt, redact, redactResult });
};
