import { GroupCommit } from '../../lib/batching/group-commit.ts';
import { notFound } from '../../lib/errors/app-error.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobContract } from '../define-job.ts';
import type { JobRegistry } from '../job-registry.ts';
import { sealingKeysOf, unsealPayload } from './seal-payload.ts';

export interface JobPayloadsParts {
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly log: Log;
}

export type Payload = Readonly<Record<string, unknown>>;

/** So many large payloads are read at once; each may have 16 MB. */
const maxBatch = 8;

/** Payloads as handlers see them: large ones read from treadle.payloads, encrypted values decrypted. */
export class JobPayloads {
  readonly #parts: JobPayloadsParts;
  readonly #large: GroupCommit<string, Payload | undefined>;

  constructor(parts: JobPayloadsParts) {
    this.#parts = parts;
    this.#large = new GroupCommit({
      maxBatch,
      onConnectionError: (error) => parts.log.warn({ event: 'payloads.unreachable', err: error }),
      write: (ids) => this.#read(ids),
    });
  }

  /**
   * The payload of a job, from what came with it through its queue (null: it is too large for that). Most need nothing,
   * and are answered without a promise.
   * @throws AppError NOT_FOUND when the job is gone, CONFIGURATION_ERROR when a key is missing or wrong.
   */
  open(contract: JobContract, jobId: string, carried: Payload | null): Payload | Promise<Payload> {
    if (carried !== null && contract.encrypt.length === 0) return carried;
    return this.#open(contract, jobId, carried);
  }

  /** A payload that is too large to lie with its job; undefined when the job is gone. */
  async readLarge(jobId: string): Promise<Payload | undefined> {
    const [payload] = await this.#read([jobId]);
    return payload;
  }

  close(): Promise<void> {
    return this.#large.close();
  }

  async #open(contract: JobContract, jobId: string, carried: Payload | null): Promise<Payload> {
    const { keys } = this.#parts.registry;
    const payload = carried ?? (await this.#large.submit(jobId));
    if (!payload) throw notFound('payload of the job', jobId);
    const isKnown = [...sealingKeysOf(payload, contract)].every((id) => keys.has(id));
    // Its key may have been replaced while it lay in its queue: then the ledger has it under the new one.
    return unsealPayload(keys, contract, isKnown ? payload : ((await this.#kept(jobId)) ?? payload));
  }

  async #kept(jobId: string): Promise<Payload | undefined> {
    const { rows } = await this.#parts.postgres.query<{ payload: Payload | null }>(
      'SELECT payload FROM treadle.jobs WHERE id = $1',
      [jobId],
    );
    return rows[0]?.payload ?? undefined;
  }

  async #read(ids: readonly string[]): Promise<readonly (Payload | undefined)[]> {
    const { rows } = await this.#parts.postgres.query<{ job_id: string; payload: Payload }>(
      'SELECT job_id, payload FROM treadle.payloads WHERE job_id = ANY ($1)',
      [ids],
    );
    const found = new Map(rows.map(({ job_id: id, payload }) => [id, payload]));
    return ids.map((id) => found.get(id));
  }
}
