import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { JobRecord, Page } from '../ledger/job-record.ts';
import type { DeadLetterFilter, DeadLetters } from '../ports.ts';
import { pageOfJobs, type Condition } from './job-pages.ts';
import { reopenJobs } from './reopen-jobs.ts';

const conditionsOf = (filter: DeadLetterFilter): readonly Condition[] => {
  const conditions: (Condition | undefined)[] = [
    filter.ids && { sql: (parameter) => `id = ANY (${parameter}::uuid[])`, value: filter.ids },
    filter.queue === undefined ? undefined : { sql: (parameter) => `queue = ${parameter}`, value: filter.queue },
    filter.name === undefined ? undefined : { sql: (parameter) => `name = ${parameter}`, value: filter.name },
    filter.errorCode === undefined
      ? undefined
      : { sql: (parameter) => `error ->> 'code' = ${parameter}`, value: filter.errorCode },
    filter.from && { sql: (parameter) => `finished_at >= ${parameter}`, value: filter.from },
    filter.to && { sql: (parameter) => `finished_at < ${parameter}`, value: filter.to },
  ];
  return conditions.filter((condition) => condition !== undefined);
};

/** {@link DeadLetters} over the ledger. */
export class LedgerDeadLetters implements DeadLetters {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  list(
    filter: DeadLetterFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>> {
    return pageOfJobs(this.#postgres, { ...page, states: ['dead'], conditions: conditionsOf(filter) });
  }

  async redrive(filter: DeadLetterFilter, limit: number): Promise<number> {
    const oldest = await oldestDead(this.#postgres, conditionsOf(filter), limit);
    return oldest.length === 0 ? 0 : reopenJobs(this.#postgres, oldest);
  }
}

/** The ids that match, the jobs accepted first in front. */
const oldestDead = async (
  db: Queryable,
  conditions: readonly Condition[],
  limit: number,
): Promise<readonly string[]> => {
  const where = ["state = 'dead'", ...conditions.map(({ sql }, index) => sql(`$${index + 2}`))].join(' AND ');
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM treadle.finished_jobs WHERE ${where} ORDER BY id LIMIT $1`,
    [limit, ...conditions.map(({ value }) => value)],
  );
  return rows.map(({ id }) => id);
};
