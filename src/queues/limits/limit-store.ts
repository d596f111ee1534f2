import { validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { JobRegistry } from '../job-registry.ts';
import { limitSchema, tenantLimitSchema, type Limit, type TenantLimit } from './limit.ts';
import { limitOf, type LimitRow } from './limit-row.ts';
import { announceLimits } from './limits-channel.ts';

/** What a limit is for: a whole queue, each of its tenants, or one of them. */
export type LimitTarget =
  | { readonly scope: 'queue' | 'tenants' }
  | { readonly scope: 'tenant'; readonly tenant: string };

export interface LimitsOfQueue {
  readonly queue: Limit;
  /** Of every tenant without a limit of its own. */
  readonly tenants: TenantLimit;
  readonly tenant: readonly (TenantLimit & { readonly tenant: string })[];
}

/** Reads and sets limits while Treadle runs. What is set goes before what the code says, as a whole. */
export interface LimitStore {
  /** @throws AppError NOT_FOUND for an unknown queue. */
  find(queue: string): Promise<LimitsOfQueue>;
  /**
   * Sets a limit, `{}` for none; null takes back what was set. From then on no job is picked
   * without it; those that lie in the queue already run all the same.
   * @throws AppError NOT_FOUND for an unknown queue, VALIDATION_ERROR naming what is wrong with the limit.
   */
  set(queue: string, target: LimitTarget, limit: TenantLimit | null): Promise<void>;
}

interface StoredRow extends LimitRow, Record<string, unknown> {
  readonly scope: LimitTarget['scope'];
  readonly subject: string;
}

const maxTenantBytes = 200;

const upsert = `
  INSERT INTO treadle.limits (queue, scope, subject, weight, concurrency, rate_max, rate_per_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
  ON CONFLICT (queue, scope, subject) DO UPDATE SET weight = excluded.weight, concurrency = excluded.concurrency,
    rate_max = excluded.rate_max, rate_per_ms = excluded.rate_per_ms, updated_at = now()`;

export const createLimitStore = (postgres: Postgres, registry: JobRegistry): LimitStore => ({
  async find(queue: string): Promise<LimitsOfQueue> {
    const { limit, tenantLimit } = registry.queue(queue);
    const { rows } = await postgres.query<StoredRow>(
      'SELECT scope, subject, weight, concurrency, rate_max, rate_per_ms FROM treadle.limits WHERE queue = $1 ORDER BY subject',
      [queue],
    );
    const own = (scope: LimitTarget['scope']): TenantLimit | undefined => {
      const row = rows.find((stored) => stored.scope === scope);
      return row && limitOf(row);
    };
    return {
      queue: own('queue') ?? limit ?? {},
      tenants: own('tenants') ?? tenantLimit ?? {},
      tenant: rows.filter(({ scope }) => scope === 'tenant').map((row) => ({ tenant: row.subject, ...limitOf(row) })),
    };
  },

  async set(queue: string, target: LimitTarget, limit: TenantLimit | null): Promise<void> {
    registry.queue(queue);
    const subject = target.scope === 'tenant' ? target.tenant : '';
    if (Buffer.byteLength(subject) > maxTenantBytes)
      throw validationError('the limit', [{ path: 'tenant', message: `is longer than ${maxTenantBytes} bytes` }]);
    if (target.scope === 'queue' && limit?.weight !== undefined)
      throw validationError('the limit', [{ path: 'weight', message: 'is for tenants: a queue has none' }]);
    const schema = target.scope === 'queue' ? limitSchema : tenantLimitSchema;
    const checked = limit && parseOrThrow(schema, limit, 'the limit');
    await postgres.transaction(
      async (tx) => {
        if (checked) {
          const { weight, concurrency, rate }: TenantLimit = checked;
          await tx.query(upsert, [queue, target.scope, subject, weight, concurrency, rate?.max, rate?.perMs]);
        } else {
          await tx.query('DELETE FROM treadle.limits WHERE (queue, scope, subject) = ($1, $2, $3)', [
            queue,
            target.scope,
            subject,
          ]);
        }
        await announceLimits(tx);
      },
      { name: 'limit.set' },
    );
  },
});
