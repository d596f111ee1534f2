import { containedIn } from '../../lib/json/path-filter.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { JobRecord, Page } from '../ledger/job-record.ts';
import type { DeadLetterFilter, DeadLetters } from '../ports.ts';
import type { ShowJob } from '../payloads/show-job.ts';
import { pageOfJobs, type Condition } from './job-pages.ts';
import { reopenJobs } from './reopen-jobs.ts';

const condition = (value: unknown, sql: Condition['sql']): readonly Condition[] =>
  value === undefined ? [] : [{ sql, value }];

const conditionsOf = (filter: DeadLetterFilter, hiddenFrom: readonly string[]): readonly Condition[] => {
  return [
    ...condition(hiddenFrom.length > 0 ? hiddenFrom : undefined, (parameter) => `name <> ALL (${parameter}::text[])`),
    ...condition(filter.ids, (parameter) => `id = ANY (${parameter}::uuid[])`),
    ...condition(filter.queue, (parameter) => `queue = ${parameter}`),
    ...condition(filter.name, (parameter) => `name = ${parameter}`),
    ...condition(filter.errorCode, (parameter) => `error ->> 'code' = ${parameter}`),
    ...condition(filter.tenant, (parameter) => `tenant = ${parameter}`),
    ...condition(filter.tag, (parameter) => `tags @> ARRAY[${parameter}]`),
    ...containedIn(filter.payload ?? {}).flatMap((json) =>
      condition(json, (parameter) => `payload @> ${parameter}::jsonb`),
    ),
    ...condition(filter.from, (parameter) => `finished_at >= ${parameter}`),
    ...condition(filter.to, (parameter) => `finished_at < ${parameter}`),
  ];
};

/** {@link DeadLetters} over the ledger. */
export class LedgerDeadLetters implements DeadLetters {
  readonly #db: Queryable & Pick<Postgres, 'transaction' | 'cursorKey'>;
  readonly #show: ShowJob;
  readonly #jobsHiding: (path: string) => readonly string[];

  /** `jobsHiding` answers which jobs hide what lies at a path of their payload. */
  constructor(
    db: Queryable & Pick<Postgres, 'transaction' | 'cursorKey'>,
    show: ShowJob,
    jobsHiding: (path: string) => readonly string[],
  ) {
    this.#db = db;
    this.#show = show;
    this.#jobsHiding = jobsHiding;
  }

  list(
    filter: DeadLetterFilter,
    page: { readonly limit: number; readonly cursor?: string | undefined },
  ): Promise<Page<JobRecord>> {
    return pageOfJobs(this.#db, {
      ...page,
      list: 'dead-letters',
      scope: [filter],
      states: ['dead'],
      conditions: this.#conditions(filter),
      show: this.#show,
    });
  }

  async count(filter: DeadLetterFilter): Promise<number> {
    const { where, values } = deadWhere(this.#conditions(filter));
    const { rows } = await this.#db.query<{ dead: number }>(
      `SELECT count(*)::integer AS dead FROM treadle.finished_jobs WHERE ${where}`,
      values,
    );
    return rows[0]?.dead ?? 0;
  }

  /** A filter tells nobody what a job hides: jobs that hide one of its paths never match. */
  #conditions(filter: DeadLetterFilter): readonly Condition[] {
    return conditionsOf(
      filter,
      Object.keys(filter.payload ?? {}).flatMap((path) => this.#jobsHiding(path)),
    );
  }

  async redrive(filter: DeadLetterFilter, limit: number): Promise<number> {
    const oldest = await oldestDead(this.#db, this.#conditions(filter), limit);
    if (oldest.length === 0) return 0;
    return this.#db.transaction((tx) => reopenJobs(tx, oldest), { name: 'redrive' });
  }
}

/** The ids that match, the jobs accepted first in front. */
const oldestDead = async (
  db: Queryable,
  conditions: readonly Condition[],
  limit: number,
): Promise<readonly string[]> => {
  const { where, values } = deadWhere(conditions);
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM treadle.finished_jobs WHERE ${where} ORDER BY id LIMIT $${values.length + 1}`,
    [...values, limit],
  );
  return rows.map(({ id }) => id);
};

const deadWhere = (conditions: readonly Condition[]): { readonly where: string; readonly values: unknown[] } => ({
  where: ["state = 'dead'", ...conditions.map(({ sql }, index) => sql(`$${index + 1}`))].join(' AND '),
  values: conditions.map(({ value }) => value),
});
