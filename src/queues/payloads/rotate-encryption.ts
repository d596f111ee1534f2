import type { KeyRing } from '../../lib/crypto/key-ring.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobContract } from '../define-job.ts';
import type { JobRegistry } from '../job-registry.ts';
import type { Payload } from './job-payloads.ts';
import { sealingKeysOf, sealPayload, unsealPayload } from './seal-payload.ts';

export interface Rotated {
  /** Jobs whose payload is under the first key since this run. */
  readonly rotated: number;
  /** Jobs whose payload could not be decrypted, by the key that is missing or wrong. */
  readonly unreadable: Readonly<Record<string, number>>;
}

/** Where payloads are kept. Large ones say by their job of which contract they are. */
const places = [
  { table: 'treadle.jobs', key: 'id', batchSize: 200, rows: 'SELECT id, payload FROM treadle.jobs WHERE name = $1' },
  {
    table: 'treadle.finished_jobs',
    key: 'id',
    batchSize: 200,
    rows: 'SELECT id, payload FROM treadle.finished_jobs WHERE name = $1',
  },
  {
    table: 'treadle.payloads',
    key: 'job_id',
    batchSize: 4,
    rows: 'SELECT kept.job_id AS id, kept.payload FROM treadle.payloads AS kept JOIN treadle.all_jobs AS job ON job.id = kept.job_id WHERE job.name = $1',
  },
] as const;
type Place = (typeof places)[number];

interface KeptRow extends Record<string, unknown> {
  readonly id: string;
  readonly payload: Payload | null;
}

const firstId = '00000000-0000-0000-0000-000000000000';

interface Pass {
  readonly postgres: Postgres;
  readonly keys: KeyRing;
  readonly contract: JobContract;
  readonly signal: AbortSignal;
  /** Told of a payload under a key that is missing or wrong. */
  readonly onUnreadable: (keyId: string) => void;
}

/** The payload under the first key; undefined when it is already, or cannot be. */
const rotated = ({ keys, contract, onUnreadable }: Pass, payload: Payload | null): Payload | undefined => {
  const others = [...sealingKeysOf(payload, contract)].filter((id) => id !== keys.currentId);
  const [other] = others;
  if (payload === null || other === undefined) return undefined;
  try {
    return sealPayload(keys, contract, unsealPayload(keys, contract, payload));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    onUnreadable(others.find((id) => !keys.has(id)) ?? other);
    return undefined;
  }
};

/** Answers how many were rotated. A payload that changed meanwhile is left to the next pass. */
const rotatePlace = async (pass: Pass, { table, key, batchSize, rows: select }: Place): Promise<number> => {
  let count = 0;
  for (let after = firstId; ;) {
    pass.signal.throwIfAborted();
    const { rows } = await pass.postgres.query<KeptRow>(
      `SELECT * FROM (${select}) AS kept WHERE id > $2 ORDER BY id LIMIT ${batchSize}`,
      [pass.contract.name, after],
    );
    const changes = rows.flatMap(({ id, payload }) => {
      const next = rotated(pass, payload);
      return next ? [{ id, before: payload, next }] : [];
    });
    if (changes.length > 0) {
      const { rowCount } = await pass.postgres.query(
        `UPDATE ${table} AS kept SET payload = change.next
         FROM jsonb_to_recordset($1) AS change (id uuid, before jsonb, next jsonb)
         WHERE kept.${key} = change.id AND kept.payload = change.before`,
        [JSON.stringify(changes)],
      );
      count += rowCount ?? 0;
    }
    const last = rows.at(-1);
    if (!last || rows.length < batchSize) return count;
    after = last.id;
  }
};

/**
 * Encrypts again, under the first key, every payload of an open or kept job that has a value under another. Goes over all
 * of them until nothing is left to do, since jobs move while they are looked at. May be stopped at any step and run again.
 */
export const rotateEncryption = async (
  postgres: Postgres,
  registry: JobRegistry,
  signal: AbortSignal,
): Promise<Rotated> => {
  let total = 0;
  for (;;) {
    const unreadable: Record<string, number> = {};
    const onUnreadable = (keyId: string): void => {
      unreadable[keyId] = (unreadable[keyId] ?? 0) + 1;
    };
    let changed = 0;
    for (const contract of registry.contracts.filter(({ encrypt }) => encrypt.length > 0)) {
      for (const place of places)
        changed += await rotatePlace({ postgres, keys: registry.keys, contract, signal, onUnreadable }, place);
    }
    total += changed;
    if (changed === 0) return { rotated: total, unreadable };
  }
};
