import { z } from 'zod';
import { limitSchema, type Limit } from './limits/limit.ts';
import { validationError, type Fault } from '../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../lib/errors/zod-faults.ts';
import { faultsOfPaths } from './payloads/check-paths.ts';

export interface FixedBackoff {
  readonly type: 'fixed';
  readonly delayMs: number;
  /** Share of the delay that is drawn at random, 0 to 1. */
  readonly jitter?: number;
}
export interface ExponentialBackoff {
  readonly type: 'exponential';
  readonly delayMs: number;
  readonly maxDelayMs?: number;
  readonly jitter?: number;
}
export type Backoff = FixedBackoff | ExponentialBackoff;

/** What every enqueuer and every worker of a job agree on. */
export interface JobContract<
  Name extends string = string,
  P extends z.ZodType = z.ZodType,
  R extends z.ZodType = z.ZodType,
> {
  /** `<area>.<verb>`, unique. */
  readonly name: Name;
  readonly queue: string;
  readonly payload: P;
  readonly result: R | undefined;
  /** Attempts in all, the first included. */
  readonly attempts: number;
  readonly backoff: Backoff;
  /** The longest one attempt may run. */
  readonly timeoutMs: number;
  /** 1 first … 9 last. */
  readonly priority: number;
  /** Dotted payload paths: a job that waits already with the same values takes the new payload instead of a second one. */
  readonly deduplicateBy: readonly string[];
  /** A job runs when so much time has passed since the last change of its values at `deduplicateBy` … */
  readonly debounceMs: number | undefined;
  /** … and so long after the first change at the latest. */
  readonly debounceMaxMs: number | undefined;
  /** Of the same values at `deduplicateBy` at most one run comes due in so much time: the first at once, the last change at its end. */
  readonly throttleMs: number | undefined;
  /** Payload paths whose values are encrypted wherever they are kept. */
  readonly encrypt: readonly string[];
  /** Payload paths whose values are shown nowhere: not by API, board or command line, nor in errors and logs. */
  readonly redact: readonly string[];
  /** Paths of the result that are not shown. */
  readonly redactResult: readonly string[];
  /**
   * Dotted payload paths: jobs of a tenant with the same values are a group. Groups take turns, each may be limited, and a
   * handler may take several jobs of one group at once. Undefined: no groups; empty: one for each tenant.
   */
  readonly groupBy: readonly string[] | undefined;
  /** Of each group, over all workers. */
  readonly groupLimit: Limit | undefined;
  /** How many jobs of one group a handler made by `handleBatch` takes at most in one call. */
  readonly batchSize: number;
  /**
   * `ledger`: accepted when it is a row in Postgres. `queue`: a plain enqueue goes straight to the queue, for work that
   * will be asked for again anyway; no deduplication, tenant, flow, `wait` or HTTP.
   */
  readonly durability: 'ledger' | 'queue';
}

export interface JobDefinition<Name extends string, P extends z.ZodType, R extends z.ZodType> {
  readonly name: Name;
  readonly queue?: string;
  readonly payload: P;
  readonly result?: R;
  readonly attempts?: number;
  readonly backoff?: Backoff;
  readonly timeoutMs?: number;
  readonly priority?: number;
  readonly deduplicateBy?: readonly string[];
  readonly groupBy?: readonly string[];
  readonly groupLimit?: Limit;
  readonly batchSize?: number;
  readonly debounceMs?: number;
  readonly debounceMaxMs?: number;
  readonly throttleMs?: number;
  readonly encrypt?: readonly string[];
  readonly redact?: readonly string[];
  readonly redactResult?: readonly string[];
  readonly durability?: 'ledger' | 'queue';
}

/** The longest delay a job may have: a year. */
export const longestDelayMs = 366 * 86_400_000;

const nameRule = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+$/;
const jitter = z.number().min(0).max(1).optional();
const delayMs = z.number().int().min(0).max(86_400_000);
const paceMs = z.number().int().min(1).max(longestDelayMs).optional();
const paths = z.array(z.string().regex(/^[^.]+(?:\.[^.]+)*$/, 'must be names joined by dots'));

const definitionRules = z.looseObject({
  name: z
    .string()
    .max(200)
    .regex(nameRule, 'must look like area.do-something: lower case, digits, dashes, at least one dot'),
  queue: z.string().regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be lower case words joined by dashes'),
  attempts: z.number().int().min(1).max(1_000),
  timeoutMs: z.number().int().min(1).max(86_400_000),
  priority: z.number().int().min(1).max(9),
  deduplicateBy: z.array(z.string().min(1)),
  groupBy: z.array(z.string().min(1)).optional(),
  groupLimit: limitSchema.optional(),
  batchSize: z.number().int().min(1).max(1_000),
  debounceMs: paceMs,
  debounceMaxMs: paceMs,
  throttleMs: paceMs,
  encrypt: paths,
  redact: paths,
  redactResult: paths,
  backoff: z.discriminatedUnion('type', [
    z.object({ type: z.literal('fixed'), delayMs, jitter }),
    z.object({ type: z.literal('exponential'), delayMs, maxDelayMs: delayMs.optional(), jitter }),
  ]),
});

const faultsOfPace = (contract: JobContract): readonly Fault[] => {
  const { debounceMs, debounceMaxMs, throttleMs, deduplicateBy, durability } = contract;
  const path = throttleMs === undefined ? 'debounceMs' : 'throttleMs';
  if (debounceMs === undefined && throttleMs === undefined)
    return debounceMaxMs === undefined ? [] : [{ path: 'debounceMaxMs', message: 'needs debounceMs' }];
  if (debounceMs !== undefined && throttleMs !== undefined)
    return [{ path, message: 'cannot be given beside debounceMs' }];
  if (debounceMaxMs !== undefined && debounceMaxMs < (debounceMs ?? Number.POSITIVE_INFINITY))
    return [{ path: 'debounceMaxMs', message: 'must be at least debounceMs' }];
  if (deduplicateBy.length === 0) return [{ path, message: 'needs deduplicateBy' }];
  return durability === 'queue' ? [{ path, message: 'is not for jobs whose durability is queue' }] : [];
};

/**
 * Defines a job. Defaults: queue `default`, 5 attempts, exponential backoff from 1 s to 5 min with half of it jittered,
 * 60 s a run, priority 5.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineJob = <Name extends string, P extends z.ZodType, R extends z.ZodType = z.ZodType>(
  definition: JobDefinition<Name, P, R>,
): JobContract<Name, P, R> => {
  const batchSize = definition.batchSize ?? 1;
  const contract: JobContract<Name, P, R> = {
    name: definition.name,
    queue: definition.queue ?? 'default',
    payload: definition.payload,
    result: definition.result,
    attempts: definition.attempts ?? 5,
    backoff: definition.backoff ?? { type: 'exponential', delayMs: 1_000, maxDelayMs: 300_000, jitter: 0.5 },
    timeoutMs: definition.timeoutMs ?? 60_000,
    priority: definition.priority ?? 5,
    deduplicateBy: definition.deduplicateBy ?? [],
    groupBy: definition.groupBy ?? (definition.groupLimit || batchSize > 1 ? [] : undefined),
    groupLimit: definition.groupLimit,
    batchSize,
    debounceMs: definition.debounceMs,
    debounceMaxMs: definition.debounceMaxMs,
    throttleMs: definition.throttleMs,
    encrypt: definition.encrypt ?? [],
    redact: definition.redact ?? [],
    redactResult: definition.redactResult ?? [],
    durability: definition.durability ?? 'ledger',
  };
  const parsed = safeParse(definitionRules, contract);
  const faults = parsed.success ? [...faultsOfPace(contract), ...faultsOfPaths(contract)] : faultsOf(parsed.error);
  if (faults.length > 0) throw validationError(`the job ${JSON.stringify(definition.name)}`, faults);
  return Object.freeze(contract);
};

export type PayloadOf<C> = C extends JobContract<string, infer P> ? z.output<P> : never;
export type PayloadInputOf<C> = C extends JobContract<string, infer P> ? z.input<P> : never;
export type ResultOf<C> = C extends JobContract<string, z.ZodType, infer R> ? z.output<R> : never;
