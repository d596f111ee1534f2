import { z } from 'zod';
import { validationError } from '../../../lib/errors/app-error.ts';
import { faultsOf, safeParse } from '../../../lib/errors/zod-faults.ts';
import type { Log } from '../../../lib/log/create-log.ts';
import type { Platform } from '../../../platform.ts';
import type { DomainEvent } from '../domain-event.ts';
import { eventPatterns } from '../event-type.ts';

/** What a consumer's handler is called with, beside events. */
export interface ConsumerContext {
  readonly platform: Platform;
  /** Aborted at the time-out, at shutdown, and when another process has taken the consumer. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /** 1 for the first. */
  readonly attempt: number;
}

interface ConsumerSettings {
  /** Its position is kept under this name: lower case words joined by dots and dashes. */
  readonly name: string;
  /** Types and patterns, such as `order.*`. */
  readonly types: readonly string[];
  /** Where it begins that has never run: with what is committed from then on, or with the oldest event there is. */
  readonly from: 'now' | 'start';
  /** How many events are read, and handled by `handleBatch`, at once: 100 by default, at most 500. */
  readonly batchSize: number;
  /** How often an event is tried before it is a dead letter: 10 by default. A crash or a shutdown does not count. */
  readonly attempts: number;
  /** Between attempts: doubles from `delayMs` (1 s) to `maxDelayMs` (1 min), up to half of it taken off at random. */
  readonly backoff: { readonly delayMs: number; readonly maxDelayMs: number };
  /** Of each call of the handler: 60 s by default. */
  readonly timeoutMs: number;
}

/** One event after another. */
export interface HandlesEach {
  handle(event: DomainEvent, context: ConsumerContext): unknown;
}

/** Several at once; when that fails, each of them alone. */
export interface HandlesBatches {
  handleBatch(events: readonly DomainEvent[], context: ConsumerContext): unknown;
}

/** What `defineConsumer` answers. */
export type EventConsumer = ConsumerSettings & (HandlesEach | HandlesBatches);

export type ConsumerOptions = Pick<ConsumerSettings, 'name' | 'types'> &
  Partial<Omit<ConsumerSettings, 'backoff'>> & { readonly backoff?: Partial<ConsumerSettings['backoff']> } & (
    | HandlesEach
    | HandlesBatches
  );

/** Of what keeps a position. */
export const consumerName = z
  .string({ error: 'must be text' })
  .max(100, 'must have at most 100 characters')
  .regex(/^[a-z0-9]+(?:[-.][a-z0-9]+)*$/, 'must be lower case words joined by dots and dashes');

const delayMs = z.number().int().min(0).max(86_400_000);
const isFunction = (value: unknown): boolean => typeof value === 'function';
const rules = z
  .looseObject({
    name: consumerName,
    types: eventPatterns,
    from: z.enum(['now', 'start']),
    batchSize: z.int().min(1).max(500),
    attempts: z.int().min(1).max(1_000),
    backoff: z.strictObject({ delayMs, maxDelayMs: delayMs }),
    timeoutMs: z.int().min(1).max(3_600_000),
    handle: z.custom(isFunction, 'must be a function').optional(),
    handleBatch: z.custom(isFunction, 'must be a function').optional(),
  })
  .refine(({ handle, handleBatch }) => (handle === undefined) !== (handleBatch === undefined), {
    path: ['handle'],
    message: 'is needed, or handleBatch; not both',
  });

/**
 * Defines a durable consumer: a handler that is told of each event of its types at least once, in the order of commits, by one
 * process at a time, whatever crashes. An event that it fails with for good is a dead letter of its, and the next one follows.
 * @throws AppError VALIDATION_ERROR naming what is wrong with the definition.
 */
export const defineConsumer = (options: ConsumerOptions): EventConsumer => {
  const consumer = {
    from: 'now' as const,
    batchSize: 100,
    attempts: 10,
    timeoutMs: 60_000,
    ...options,
    backoff: { delayMs: 1_000, maxDelayMs: 60_000, ...options.backoff },
  };
  const parsed = safeParse(rules, consumer);
  if (!parsed.success) throw validationError(`the consumer ${JSON.stringify(options.name)}`, faultsOf(parsed.error));
  return Object.freeze(consumer);
};

/** For what the modules of an app bring, whose shape was looked at when they were loaded. */
export const isEventConsumer = (consumer: { readonly name: string }): consumer is EventConsumer =>
  'types' in consumer && 'batchSize' in consumer && ('handle' in consumer || 'handleBatch' in consumer);
