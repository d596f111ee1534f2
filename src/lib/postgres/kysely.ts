import { Kysely, PostgresDialect, type PostgresPool } from 'kysely';
import type { QueryMetrics } from './query-metrics.ts';
import type { DB } from './schema.generated.ts';

/** Kysely over a pool; every statement may run on another connection. `onEnd` is told each that has ended, well or not. */
export const kyselyOver = (
  pool: PostgresPool,
  queries: QueryMetrics,
  onEnd?: (statement: string) => void,
): Kysely<DB> =>
  new Kysely<DB>({
    dialect: new PostgresDialect({ pool }),
    log: (event) => {
      queries.record(event.queryDurationMillis, event.query.sql);
      if (event.level === 'error') queries.recordError(event.error);
      onEnd?.(event.query.sql);
    },
  }).withSchema('treadle');
