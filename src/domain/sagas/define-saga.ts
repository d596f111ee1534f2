import { z } from 'zod';
import { validationError } from '../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Transaction } from '../../lib/postgres/transaction.ts';
import type { Platform } from '../../platform.ts';

/** What a step is called with. */
export interface SagaStepContext<I = unknown> {
  readonly input: I;
  readonly saga: { readonly id: string; readonly name: string; readonly workspaceId: string | null };
  /** What the steps before have answered, by their names, as JSON gives it back. */
  readonly results: Readonly<Record<string, unknown>>;
  /** The same each time this step is run, also after a crash; its compensation has another. For whoever takes such keys. */
  readonly idempotencyKey: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly platform: Platform;
  /** Aborted at the step's time-out, on cancellation, when the job's lock is lost and at shutdown. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** What the compensation of a step is called with. */
export interface CompensationContext<I = unknown> extends SagaStepContext<I> {
  /** What the step has answered; undefined when it failed: what it does may be there, or a part of it, or nothing. */
  readonly result: unknown;
}

/** The transaction of a transactional step, in which its line in the journal is written too. */
export interface InTransaction {
  readonly tx: Transaction;
}

interface StepLimits {
  /** How often it is tried before it has failed for good: 5 by default. A crash or a shutdown does not count. */
  readonly attempts: number;
  /** How often its compensation is tried before the saga has failed: 10 by default. */
  readonly compensationAttempts: number;
  /** Of each attempt: 60 s by default. */
  readonly timeoutMs: number;
}

/**
 * A step that acts outside of Postgres, or need not happen exactly once: after a crash it is run again. It is compensated
 * also when it failed, for it may have been done half-way.
 */
export interface PlainStep<I = unknown> {
  readonly name: string;
  readonly transactional?: false | undefined;
  execute(context: SagaStepContext<I>): Promise<unknown>;
  compensate?(context: CompensationContext<I>): Promise<void>;
}

/**
 * A step that acts in Postgres only, through `tx`: it happens exactly once, together with its line in the journal. It is
 * compensated only when it was done.
 */
export interface TransactionalStep<I = unknown> {
  readonly name: string;
  readonly transactional: true;
  execute(context: SagaStepContext<I> & InTransaction): Promise<unknown>;
  compensate?(context: CompensationContext<I> & InTransaction): Promise<void>;
}

export type SagaStepDefinition<I = unknown> = (PlainStep<I> | TransactionalStep<I>) & StepLimits;

/** Between the attempts of a step: doubles from `delayMs` to `maxDelayMs`, up to half of it taken off at random. */
export interface SagaBackoff {
  readonly delayMs: number;
  readonly maxDelayMs: number;
}

/** What `defineSaga` answers. */
export interface SagaDefinition<Name extends string = string, I extends z.ZodType = z.ZodType> {
  readonly name: Name;
  readonly input: I;
  readonly steps: readonly SagaStepDefinition<z.output<I>>[];
  readonly backoff: SagaBackoff;
}

export interface SagaOptions<Name extends string, I extends z.ZodType> {
  readonly name: Name;
  /** Of a JSON object. */
  readonly input: I;
  readonly steps: readonly ((PlainStep<z.output<I>> | TransactionalStep<z.output<I>>) & Partial<StepLimits>)[];
  readonly backoff?: Partial<SagaBackoff>;
}

const isFunction = (value: unknown): boolean => typeof value === 'function';
const attempts = z.number().int().min(1).max(100);
const delayMs = z.number().int().min(0).max(86_400_000);
/** A job has a thousand attempts at most, and some of them are for what is not the fault of a step. */
const mostAttempts = 990;

const stepRules = z.looseObject({
  name: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'must be lower case words joined by dashes'),
  transactional: z.boolean().optional(),
  execute: z.custom(isFunction, 'must be a function'),
  compensate: z.custom(isFunction, 'must be a function').optional(),
  attempts,
  compensationAttempts: attempts,
  timeoutMs: z.number().int().min(1).max(43_200_000),
});

const rules = z.looseObject({
  name: z
    .string()
    .max(100)
    .regex(/^[a-z0-9]+(?:[-.][a-z0-9]+)*$/, 'must be lower case words joined by dots and dashes'),
  steps: z
    .array(stepRules)
    .min(1)
    .max(100)
    .superRefine((steps, context) => {
      const names = steps.map(({ name }) => name);
      for (const [index, name] of names.entries()) {
        if (names.indexOf(name) === index) continue;
        context.addIssue({ code: 'custom', path: [index, 'name'], message: 'is the name of a step before it' });
      }
      if (steps.reduce((sum, step) => sum + step.attempts + step.compensationAttempts, 0) > mostAttempts)
        context.addIssue({ code: 'custom', message: `have more than ${mostAttempts} attempts together` });
    }),
  backoff: z.object({ delayMs, maxDelayMs: delayMs }),
});

/**
 * Defines a saga: steps that are run one after another by a job, each written to a journal, so that a crash resumes where it
 * stood; when one fails for good, those before it, and it, are compensated in reverse order.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineSaga = <Name extends string, I extends z.ZodType>({
  name,
  input,
  steps,
  backoff,
}: SagaOptions<Name, I>): SagaDefinition<Name, I> => {
  const saga = {
    name,
    input,
    steps: steps.map((step) => ({ attempts: 5, compensationAttempts: 10, timeoutMs: 60_000, ...step })),
    backoff: { delayMs: 1_000, maxDelayMs: 300_000, ...backoff },
  };
  const parsed = safeParse(rules, saga);
  if (!parsed.success) throw validationError(`the saga ${JSON.stringify(name)}`, faultsOf(parsed.error));
  return Object.freeze(saga);
};
