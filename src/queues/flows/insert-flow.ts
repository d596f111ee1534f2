import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { activeTraceparent } from '../../lib/telemetry/tracing.ts';
import { batchesOf } from '../ledger/batches-of.ts';
import { insertJobs } from '../ledger/insert-jobs.ts';
import type { PreparedNode } from './prepare-flow.ts';

const insertParents = new URL('../ledger/insert-parents.sql', import.meta.url);

const parentJson = ({ job, children, onChildFailure }: PreparedNode, traceparent: string | undefined): object => ({
  id: job.id,
  name: job.contract.name,
  queue: job.contract.queue,
  priority: job.options.priority ?? job.contract.priority,
  tenant: job.tenant,
  tags: job.options.tags,
  attempts: job.options.attempts ?? job.contract.attempts,
  timeout_ms: job.options.timeoutMs ?? job.contract.timeoutMs,
  parent_id: job.options.parent,
  children,
  child_failure: onChildFailure,
  group_paths: job.contract.groupBy,
  traceparent,
  payload: job.payload,
  large: job.largeBytes !== undefined,
});

/** Writes the jobs of a flow into the ledger, in the transaction `tx`. */
export const insertFlow = async (tx: Queryable, nodes: readonly PreparedNode[]): Promise<void> => {
  const traceparent = activeTraceparent();
  const parents = nodes.filter(({ children }) => children > 0);
  const leaves = nodes.filter(({ children }) => children === 0).map(({ job }) => job);
  for (const batch of batchesOf(parents, ({ job }) => job)) {
    const rows = JSON.stringify(batch.map((node) => parentJson(node, traceparent)));
    await tx.query(loadSql(insertParents), [rows]);
  }
  for (const batch of batchesOf(leaves, (job) => job)) await insertJobs(tx, batch, { parentsClaimed: true });
};
