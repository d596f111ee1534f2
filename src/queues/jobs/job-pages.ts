import { z } from 'zod';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { CursorList } from '../../lib/postgres/signed-cursor.ts';
import { jobColumns, jobRecordOf, type JobRow } from '../ledger/job-columns.ts';
import type { ShowJob } from '../payloads/show-job.ts';
import { finishedStates, openStates, type JobRecord, type JobState } from '../ledger/job-record.ts';

/** A condition on jobs: SQL with `$n` for its one value. */
export interface Condition {
  readonly sql: (parameter: string) => string;
  readonly value: unknown;
}

const idKey = z.tuple([z.uuid()]);

/** The tables that can hold jobs in these states, so that a listing of dead letters reads no others. */
const sourceOf = (states: readonly JobState[] | undefined): string => {
  const open: readonly string[] = openStates;
  const finished: readonly string[] = finishedStates;
  if (states?.every((state) => open.includes(state))) {
    return `(SELECT *, NULL::timestamptz AS finished_at, NULL::jsonb AS result, NULL::jsonb AS error FROM treadle.jobs)`;
  }
  return states?.every((state) => finished.includes(state)) ? 'treadle.finished_jobs' : 'treadle.all_jobs';
};

export interface JobPageRequest extends PageRequest, CursorList {
  readonly states?: readonly JobState[] | undefined;
  readonly conditions: readonly Condition[];
  readonly show: ShowJob;
}

/** Jobs, newest first (ids sort by time of acceptance), by keyset in both directions. `scope` holds their whole filter. */
export const pageOfJobs = async (
  db: Queryable,
  { states, conditions, limit, cursor, list, scope, show }: JobPageRequest,
): Promise<Page<JobRecord>> => {
  const start = await readPageRequest(db, { limit, cursor }, { list, scope, key: idKey });
  const [beyond, order] = start.direction === 'next' ? ['<', 'DESC'] : ['>', 'ASC'];
  const all: Condition[] = [...conditions];
  if (states) all.push({ sql: (parameter) => `state = ANY (${parameter}::treadle.job_state[])`, value: states });
  if (start.key) all.push({ sql: (parameter) => `id ${beyond} ${parameter}::uuid`, value: start.key[0] });
  const where = all.map(({ sql }, index) => sql(`$${index + 1}`)).join(' AND ') || 'true';
  const { rows } = await db.query<JobRow>(
    `SELECT ${jobColumns} FROM ${sourceOf(states)} AS job WHERE ${where} ORDER BY id ${order} LIMIT ${start.limit + 1}`,
    all.map(({ value }) => value),
  );
  return pageOf(rows, start, { keyOf: (row) => [row.id], toItem: (row) => show(jobRecordOf(row)) });
};
