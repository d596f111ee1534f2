import type { TenantLimit } from './limit.ts';

/** How a limit is stored. */
export interface LimitRow {
  readonly weight: number | null;
  readonly concurrency: number | null;
  readonly rate_max: number | null;
  readonly rate_per_ms: number | null;
}

/** The one place where a row becomes a limit. */
export const limitOf = ({ weight, concurrency, rate_max: max, rate_per_ms: perMs }: LimitRow): TenantLimit => ({
  ...(weight === null ? {} : { weight }),
  ...(concurrency === null ? {} : { concurrency }),
  ...(max === null || perMs === null ? {} : { rate: { max, perMs } }),
});
