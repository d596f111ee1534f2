import { z } from 'zod';
import { validationError } from '../../lib/errors/app-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { jobColumns, jobRecordOf, type JobRow } from '../ledger/job-columns.ts';
import type { ShowJob } from '../payloads/show-job.ts';
import { finishedStates, openStates, type JobRecord, type JobState, type Page } from '../ledger/job-record.ts';

/** A condition on jobs: SQL with `$n` for its one value. */
export interface Condition {
  readonly sql: (parameter: string) => string;
  readonly value: unknown;
}

interface Cursor {
  readonly id: string;
  readonly towards: 'older' | 'newer';
}

const cursorSchema = z.object({ id: z.uuid(), towards: z.enum(['older', 'newer']) });

const encodeCursor = (cursor: Cursor): string => Buffer.from(JSON.stringify(cursor)).toString('base64url');

const decodeCursor = (text: string): Cursor => {
  try {
    return cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch {
    throw validationError('the page', [{ path: 'cursor', message: 'is not a cursor that a list answered' }]);
  }
};

/** The tables that can hold jobs in these states, so that a listing of dead letters reads no others. */
const sourceOf = (states: readonly JobState[] | undefined): string => {
  const open: readonly string[] = openStates;
  const finished: readonly string[] = finishedStates;
  if (states?.every((state) => open.includes(state))) {
    return `(SELECT *, NULL::timestamptz AS finished_at, NULL::jsonb AS result, NULL::jsonb AS error FROM treadle.jobs)`;
  }
  return states?.every((state) => finished.includes(state)) ? 'treadle.finished_jobs' : 'treadle.all_jobs';
};

export interface JobPageRequest {
  readonly states?: readonly JobState[] | undefined;
  readonly conditions: readonly Condition[];
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly show: ShowJob;
}

/** Jobs, newest first (ids sort by time of acceptance), by keyset in both directions. */
export const pageOfJobs = async (
  db: Queryable,
  { states, conditions, limit, cursor: text, show }: JobPageRequest,
): Promise<Page<JobRecord>> => {
  const cursor = text === undefined ? undefined : decodeCursor(text);
  const towardsNewer = cursor?.towards === 'newer';
  const all: Condition[] = [...conditions];
  if (states) all.push({ sql: (parameter) => `state = ANY (${parameter}::treadle.job_state[])`, value: states });
  if (cursor) all.push({ sql: (parameter) => `id ${towardsNewer ? '>' : '<'} ${parameter}::uuid`, value: cursor.id });
  const where = all.map(({ sql }, index) => sql(`$${index + 1}`)).join(' AND ') || 'true';
  const { rows } = await db.query<JobRow>(
    `SELECT ${jobColumns} FROM ${sourceOf(states)} AS job WHERE ${where} ORDER BY id ${towardsNewer ? 'ASC' : 'DESC'} LIMIT ${limit + 1}`,
    all.map(({ value }) => value),
  );
  const more = rows.length > limit;
  const items = rows.slice(0, limit).map((row) => show(jobRecordOf(row)));
  if (towardsNewer) items.reverse();
  const [first] = items;
  const last = items.at(-1);
  return {
    items,
    nextCursor: last && (towardsNewer || more) ? encodeCursor({ id: last.id, towards: 'older' }) : null,
    prevCursor:
      first && (towardsNewer ? more : cursor !== undefined) ? encodeCursor({ id: first.id, towards: 'newer' }) : null,
  };
};
