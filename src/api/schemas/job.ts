import { z } from 'zod';
import type { EnqueueOptions } from '../../queues/ports.ts';
import type { ChildFailurePolicy } from '../../queues/outcome.ts';
import { jobStates } from '../../queues/ledger/job-record.ts';

export const jobState = z.enum(jobStates);
export const jobId = z.uuid().describe('The id of a job');

const jobError = z.object({ code: z.string(), message: z.string() });

/** A job as the API shows it; stack traces stay inside. */
export const job = z
  .object({
    id: z.string(),
    name: z.string(),
    queue: z.string(),
    state: jobState,
    priority: z.number().describe('1 first … 9 last'),
    tenant: z.string(),
    payload: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('Null in lists and events when it is larger than 64 kB: ask for the job itself'),
    tags: z.array(z.string()).readonly(),
    attemptsAllowed: z.number(),
    attemptsMade: z.number(),
    timeoutMs: z.number().describe('The longest one attempt may run'),
    deduplicationKey: z.string().nullable(),
    parentId: z.string().nullable(),
    scheduleName: z.string().nullable(),
    dueAt: z.date(),
    createdAt: z.date(),
    startedAt: z.date().nullable(),
    finishedAt: z.date().nullable(),
    worker: z.string().nullable(),
    progress: z.object({ fraction: z.number(), note: z.string().optional() }).nullable(),
    failures: z
      .array(z.object({ attempt: z.number(), startedAt: z.string(), durationMs: z.number(), error: jobError }))
      .readonly(),
    result: z.unknown(),
    error: jobError.nullable(),
    children: z
      .object({ total: z.number(), open: z.number(), failed: z.number() })
      .nullable()
      .describe('Null when it has none; failed: of those added since it last waited for any'),
  })
  .meta({ id: 'Job' });

export const acceptedJob = z.object({ id: z.string(), queue: z.string(), name: z.string(), state: jobState });

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Options of an enqueue, passed on as they are: the enqueuer checks them together with the payload, so that one answer
 * names the faults of both. The OpenAPI page shows the enqueuer's own schema for it.
 */
export const looseEnqueueOptions = z.custom<EnqueueOptions>(isObject, 'must be an object');

export const enqueueBody = z.strictObject({
  name: z.string().min(1).max(200).describe('The name of a job, as `area.do-something`'),
  payload: z.record(z.string(), z.unknown()).describe('What the job works on; each job has its own shape'),
  options: looseEnqueueOptions.exactOptional(),
});

/** A job of a flow, and those it waits for. */
export interface FlowRequest {
  readonly name: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly options?: EnqueueOptions;
  readonly onChildFailure?: ChildFailurePolicy;
  readonly children?: readonly FlowRequest[];
}

export const flowBody: z.ZodType<FlowRequest> = z
  .strictObject({
    ...enqueueBody.shape,
    onChildFailure: z.enum(['fail', 'continue']).exactOptional(),
    get children() {
      return z.array(flowBody).max(10_000).exactOptional();
    },
  })
  .meta({ id: 'Flow' });

export const batchBody = z.strictObject({ jobs: z.array(enqueueBody).min(1).max(1_000) });
