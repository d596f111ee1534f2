import { may, type Principal } from '../../domain/access/types.ts';
import { builtInContracts } from '../../jobs/built-in-jobs.ts';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import type { JobRegistry } from '../../queues/job-registry.ts';
import type { JobRecord } from '../../queues/ledger/job-record.ts';
import type { EnqueueRequest, JobFilter, JobStore } from '../../queues/ports.ts';

const forbidden = (what: string): AppError =>
  new AppError('FORBIDDEN', `the key is bound to a workspace, and ${what}`, {});

const sameId = (value: unknown, workspaceId: string): boolean =>
  typeof value === 'string' && value.toLowerCase() === workspaceId;

const workspaceIn = (payload: unknown): unknown =>
  typeof payload === 'object' && payload !== null && 'workspaceId' in payload ? payload.workspaceId : undefined;

const isBuiltIn = (job: string): boolean => builtInContracts.some(({ name }) => name === job);

/**
 * Housekeeping looks after all of Treadle: whoever makes, changes or schedules its jobs needs to be an administrator of queues.
 * @throws AppError FORBIDDEN.
 */
export const checkHousekeeping = (principal: Principal, registry: JobRegistry, queue: string | undefined): void => {
  const transport = registry.queues.find(({ name }) => name === queue)?.transport;
  if (transport !== 'pg-boss' || may(principal, 'queues:admin')) return;
  throw new AppError('FORBIDDEN', `jobs of the queue ${queue} need the scope queues:admin`, { scope: 'queues:admin' });
};

/**
 * An enqueue as a key may make it. One bound to a workspace enqueues jobs of that tenant only: neither the payload's
 * workspaceId nor the tenant may name another, and Treadle's own jobs must name it, for without it they may work on all.
 * @throws AppError FORBIDDEN.
 */
export const confineEnqueue = (
  principal: Principal,
  registry: JobRegistry,
  request: EnqueueRequest,
): EnqueueRequest => {
  checkHousekeeping(principal, registry, registry.find(request.name)?.queue);
  const { workspaceId } = principal;
  if (workspaceId === undefined) return request;
  const named = workspaceIn(request.payload);
  if (named !== undefined && !sameId(named, workspaceId)) throw forbidden('the payload names another');
  if (request.options?.tenant !== undefined && !sameId(request.options.tenant, workspaceId)) {
    throw forbidden('the tenant is another');
  }
  if (named === undefined && isBuiltIn(request.name)) throw forbidden('the payload names none');
  return { ...request, options: { ...request.options, tenant: workspaceId } };
};

/**
 * The job with this id, if the key may know of it.
 * @throws AppError NOT_FOUND for unknown ids, and for jobs of another tenant than a bound key's.
 */
export const findJobFor = async (jobs: JobStore, principal: Principal, id: string): Promise<JobRecord> => {
  const job = await jobs.find(id);
  if (!job || (principal.workspaceId !== undefined && !sameId(job.tenant, principal.workspaceId))) {
    throw notFound('job', id);
  }
  return job;
};

/**
 * Refuses parents that a bound key may not know of.
 * @throws AppError NOT_FOUND.
 */
export const checkParents = async (
  jobs: JobStore,
  principal: Principal,
  requests: readonly EnqueueRequest[],
): Promise<void> => {
  if (principal.workspaceId === undefined) return;
  const parents = new Set(requests.flatMap(({ options }) => options?.parent ?? []));
  for (const parent of parents) await findJobFor(jobs, principal, parent);
};

/**
 * A filter as a key may use it: one bound to a workspace sees the jobs of that tenant.
 * @throws AppError FORBIDDEN when it asks for another.
 */
export const confineFilter = (principal: Principal, filter: JobFilter): JobFilter => {
  const { workspaceId } = principal;
  if (workspaceId === undefined) return filter;
  if (filter.tenant !== undefined && !sameId(filter.tenant, workspaceId)) throw forbidden('the tenant is another');
  return { ...filter, tenant: workspaceId };
};
