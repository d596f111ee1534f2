import type { Postgres } from '../../lib/postgres/postgres.ts';
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
    const { items } = await this.list(filter, { limit });
    return items.length === 0
      ? 0
      : reopenJobs(
          this.#postgres,
          items.map(({ id }) => id),
        );
  }
}
