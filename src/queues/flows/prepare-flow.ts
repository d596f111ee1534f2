import { validationError, type Fault } from '../../lib/errors/app-error.ts';
import { prepareJob, type PreparedJob } from '../enqueue/prepare-job.ts';
import type { JobContract, PayloadInputOf } from '../define-job.ts';
import type { KeyRing } from '../../lib/crypto/key-ring.ts';
import type { ChildFailurePolicy } from '../outcome.ts';
import type { EnqueueOptions } from '../ports.ts';

/** A job of a flow, and the jobs it waits for. */
export interface FlowNode {
  readonly contract: JobContract;
  readonly payload: unknown;
  readonly options: EnqueueOptions;
  readonly children: readonly FlowNode[];
  readonly onChildFailure: ChildFailurePolicy;
}

export interface FlowOptions extends Omit<EnqueueOptions, (typeof refused)[number]> {
  /** Jobs that have to end before this one runs. */
  readonly children?: readonly FlowNode[];
  /** What a child's failure does; `fail` by default. */
  readonly onChildFailure?: ChildFailurePolicy;
}

/** A job of a flow, with its payload checked by type; for {@link Enqueuer.enqueueFlow}. */
export const flow = <C extends JobContract>(
  contract: C,
  payload: PayloadInputOf<C>,
  { children = [], onChildFailure = 'fail', ...options }: FlowOptions = {},
): FlowNode => ({ contract, payload, options, children, onChildFailure });

/** A checked job of a flow. */
export interface PreparedNode {
  readonly job: PreparedJob;
  readonly children: number;
  readonly onChildFailure: ChildFailurePolicy;
}

const maxJobs = 10_000;
const maxDepth = 100;
const refused = [
  'parent',
  'deduplicationKey',
  'idempotencyKey',
  'delayMs',
  'runAt',
  'debounceMs',
  'debounceMaxMs',
  'throttleMs',
] as const;

interface Walk {
  readonly keys: KeyRing | undefined;
  readonly nodes: PreparedNode[];
  readonly faults: Fault[];
  /** From the root down to where the walk is. */
  readonly line: FlowNode[];
}

const faultOfPlace = (node: FlowNode, path: string, { nodes, line }: Walk): Fault | undefined => {
  const at = path === '' ? 'the flow' : path;
  if (line.includes(node)) return { path: at, message: 'contains itself: a flow cannot wait for its own end' };
  if (line.length >= maxDepth) return { path: at, message: `is nested deeper than ${maxDepth} jobs` };
  if (nodes.length >= maxJobs)
    return {
      path: at,
      message: `is more than ${maxJobs.toLocaleString('en')} jobs; a handler can spawn any number`,
    };
  if (node.contract.durability === 'queue')
    return { path: at, message: `${node.contract.name} goes straight to its queue and cannot be in a flow` };
  return undefined;
};

const walk = (node: FlowNode, path: string, parent: string | undefined, so: Walk): void => {
  const prefix = path === '' ? '' : `${path}.`;
  const misplaced = faultOfPlace(node, path, so);
  if (misplaced) {
    so.faults.push(misplaced);
    return;
  }
  for (const option of refused) {
    if (node.options[option] !== undefined)
      so.faults.push({ path: `${prefix}options.${option}`, message: 'is not for jobs of a flow' });
  }
  const prepared = prepareJob(node.contract, node.payload, { ...node.options, ...(parent && { parent }) }, so.keys);
  if ('faults' in prepared) {
    so.faults.push(...prepared.faults.map((fault) => ({ ...fault, path: `${prefix}${fault.path}` })));
  } else {
    so.nodes.push({ job: prepared.job, children: node.children.length, onChildFailure: node.onChildFailure });
  }
  so.line.push(node);
  for (const [index, child] of node.children.entries()) {
    walk(child, `${prefix}children[${index}]`, 'job' in prepared ? prepared.job.id : undefined, so);
  }
  so.line.pop();
};

/**
 * Checks a flow whole. The root comes first, every job before its children.
 * @throws AppError VALIDATION_ERROR naming every fault by its place, such as `children[2].payload.url`; also for a flow that
 * contains itself, has more than 10,000 jobs or is deeper than 100.
 */
export const prepareFlow = (root: FlowNode, keys: KeyRing | undefined): readonly PreparedNode[] => {
  const so: Walk = { keys, nodes: [], faults: [], line: [] };
  walk(root, '', undefined, so);
  if (so.faults.length > 0) throw validationError(`the flow ${root.contract.name}`, so.faults);
  return so.nodes;
};
