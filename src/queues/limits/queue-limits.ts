import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { QueueDefinition } from '../define-queue.ts';
import type { TenantLimit } from './limit.ts';
import { limitOf, type LimitRow } from './limit-row.ts';

/** What the relay keeps to in one queue. */
export interface QueueLimits {
  /** The parameter of pick-limited.sql. */
  readonly json: string;
  /** How many jobs of the queue a handler may take at once. */
  readonly batchSize: number;
}

interface FoundRow extends LimitRow, Record<string, unknown> {
  readonly queue: string;
  readonly scope: 'queue' | 'tenants' | 'tenant' | 'groups';
  readonly batch_size: number;
}

const find = `
  SELECT queue, scope, weight, concurrency, rate_max, rate_per_ms, 1 AS batch_size FROM treadle.limits WHERE scope <> 'tenant'
  UNION ALL
  SELECT DISTINCT queue, scope, NULL::real, NULL::integer, NULL::integer, NULL::integer, 1 FROM treadle.limits WHERE scope = 'tenant'
  UNION ALL
  SELECT queue, 'groups', NULL, NULL, NULL, NULL, max(batch_size) FROM treadle.contracts WHERE group_by IS NOT NULL GROUP BY queue`;

const parameterOf = ({ concurrency, rate, weight }: TenantLimit): object => ({
  concurrency,
  rateMax: rate?.max,
  ratePerMs: rate?.perMs,
  weight,
});

const isGiven = (limit: TenantLimit | undefined): boolean =>
  limit !== undefined && Object.values(limit).some((value) => value !== undefined);

/** The limits of the queues that have any, as of a version: nothing is picked with others than the newest. */
export interface KnownLimits {
  readonly version: number;
  readonly of: ReadonlyMap<string, QueueLimits>;
}

/** Reads what limits there are: those set while Treadle runs go before those of the code. */
export const loadQueueLimits = async (db: Queryable, queues: readonly QueueDefinition[]): Promise<KnownLimits> => {
  // The version first: what is set meanwhile has a newer one.
  const { rows: versions } = await db.query<{ limits_version: number }>('SELECT limits_version FROM treadle.relay');
  const { rows } = await db.query<FoundRow>(find);
  const limited = queues.flatMap(({ name, limit, tenantLimit }) => {
    const own = rows.filter((row) => row.queue === name);
    if (own.length === 0 && !isGiven(limit) && !isGiven(tenantLimit)) return [];
    const rowOf = (scope: FoundRow['scope']): FoundRow | undefined => own.find((row) => row.scope === scope);
    const [whole, every] = [rowOf('queue'), rowOf('tenants')];
    const limits: QueueLimits = {
      json: JSON.stringify({
        queue: parameterOf(whole ? limitOf(whole) : (limit ?? {})),
        tenant: parameterOf(every ? limitOf(every) : (tenantLimit ?? {})),
      }),
      batchSize: Math.max(1, ...own.map((row) => row.batch_size)),
    };
    return [[name, limits] as const];
  });
  return { version: versions[0]?.limits_version ?? 0, of: new Map(limited) };
};
