import { validationError } from '../../lib/errors/app-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { PreparedJob } from '../enqueue/prepare-job.ts';

/** In the order of ids, so that two transactions that add children of the same parents don't deadlock. */
const claim = `
  WITH added AS (
    SELECT parent.id, given.jobs FROM treadle.jobs AS parent JOIN unnest($1::uuid[], $2::integer[]) AS given (id, jobs) USING (id)
    ORDER BY parent.id FOR NO KEY UPDATE OF parent
  )
  UPDATE treadle.jobs AS parent SET
    children_failed = CASE WHEN children_total > children_before THEN children_failed ELSE 0 END,
    children_before = coalesce(children_before, 0),
    children_total = coalesce(children_total, 0) + added.jobs,
    children_open = coalesce(children_open, 0) + added.jobs
  FROM added WHERE parent.id = added.id
  RETURNING parent.id`;

/**
 * Counts the children among the jobs with their parents, which stay locked until the transaction `tx` ends, so that none
 * finishes meanwhile.
 * @throws AppError VALIDATION_ERROR for a parent that is not an open job.
 */
export const claimParents = async (tx: Queryable, jobs: readonly PreparedJob[]): Promise<void> => {
  const counts = new Map<string, number>();
  for (const { options } of jobs) {
    if (options.parent !== undefined) counts.set(options.parent, (counts.get(options.parent) ?? 0) + 1);
  }
  if (counts.size === 0) return;
  const { rows } = await tx.query<{ id: string }>(claim, [[...counts.keys()], [...counts.values()]]);
  const open = new Set(rows.map(({ id }) => id));
  const several = jobs.length > 1;
  const faults = jobs.flatMap(({ options }, index) =>
    options.parent === undefined || open.has(options.parent)
      ? []
      : [{ path: `${several ? `jobs[${index}].` : ''}options.parent`, message: 'is not an open job', index }],
  );
  if (faults.length > 0) throw validationError('the parent', faults);
};
