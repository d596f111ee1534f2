import { z } from 'zod';
import { parseOrThrow } from '../lib/errors/zod-faults.ts';

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
  readonly durability?: 'ledger' | 'queue';
}

const nameRule = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)+$/;
const jitter = z.number().min(0).max(1).optional();
const delayMs = z.number().int().min(0).max(86_400_000);

const definitionRules = z.object({
  name: z
    .string()
    .max(200)
    .regex(nameRule, 'must look like area.do-something: lower case, digits, dashes, at least one dot'),
  queue: z.string().regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be lower case words joined by dashes'),
  attempts: z.number().int().min(1).max(1_000),
  timeoutMs: z.number().int().min(1).max(86_400_000),
  priority: z.number().int().min(1).max(9),
  deduplicateBy: z.array(z.string().min(1)),
  backoff: z.discriminatedUnion('type', [
    z.object({ type: z.literal('fixed'), delayMs, jitter }),
    z.object({ type: z.literal('exponential'), delayMs, maxDelayMs: delayMs.optional(), jitter }),
  ]),
});

/**
 * Defines a job. Defaults: queue `default`, 5 attempts, exponential backoff from 1 s to 5 min with half of it jittered,
 * 60 s a run, priority 5.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineJob = <Name extends string, P extends z.ZodType, R extends z.ZodType = z.ZodType>(
  definition: JobDefinition<Name, P, R>,
): JobContract<Name, P, R> => {
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
    durability: definition.durability ?? 'ledger',
  };
  parseOrThrow(definitionRules.loose(), contract, `the job ${JSON.stringify(definition.name)}`);
  return Object.freeze(contract);
};

export type PayloadOf<C> = C extends JobContract<string, infer P> ? z.output<P> : never;
export type PayloadInputOf<C> = C extends JobContract<string, infer P> ? z.input<P> : never;
export type ResultOf<C> = C extends JobContract<string, z.ZodType, infer R> ? z.output<R> : never;
