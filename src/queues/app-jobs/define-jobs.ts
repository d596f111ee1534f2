import { z } from 'zod';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { dataMigrationShape, type DataMigration } from '../../lib/migrations/data/define-data-migration.ts';
import type { JobContract } from '../define-job.ts';
import type { QueueDefinition } from '../define-queue.ts';
import type { BuiltInSchedule } from '../define-schedule.ts';
import type { AnyHandler } from '../handle.ts';

/** What is known here of a saga, which the domain runs. */
export interface AppSaga {
  readonly name: string;
  readonly steps: readonly { readonly name: string }[];
}

/** What is known here of a consumer of events, which the domain runs. */
export interface AppConsumer {
  readonly name: string;
  readonly types: readonly string[];
}

/** What a module of TREADLE_JOBS brings. */
export interface AppJobs {
  readonly contracts: readonly JobContract[];
  readonly handlers: readonly AnyHandler[];
  readonly queues: readonly QueueDefinition[];
  readonly schedules: readonly BuiltInSchedule[];
  readonly sagas: readonly AppSaga[];
  readonly consumers: readonly AppConsumer[];
  readonly dataMigrations: readonly DataMigration[];
}

const isFunction = (value: unknown): boolean => typeof value === 'function';
const isSchema = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'safeParse' in value && isFunction(value.safeParse);

const contractShape = z.looseObject({
  name: z.string(),
  queue: z.string(),
  payload: z.custom(isSchema),
  attempts: z.number(),
  timeoutMs: z.number(),
  priority: z.number(),
  deduplicateBy: z.array(z.string()),
  durability: z.enum(['ledger', 'queue']),
});
const handlerShape = z.union([
  z.looseObject({ contract: contractShape, run: z.custom(isFunction) }),
  z.looseObject({ contract: contractShape, runBatch: z.custom(isFunction) }),
]);
const queueShape = z.looseObject({
  name: z.string(),
  transport: z.enum(['bullmq', 'pg-boss']),
  concurrency: z.number(),
  lockMs: z.number(),
});
const scheduleShape = z.looseObject({ name: z.string(), jobName: z.string() });
const sagaShape = z.looseObject({
  name: z.string(),
  input: z.custom(isSchema),
  steps: z.array(z.looseObject({ name: z.string(), execute: z.custom(isFunction), attempts: z.number() })),
  backoff: z.looseObject({ delayMs: z.number() }),
});

const consumerShape = z
  .looseObject({ name: z.string(), types: z.array(z.string()), batchSize: z.number(), timeoutMs: z.number() })
  .refine((consumer) => isFunction(consumer['handle']) || isFunction(consumer['handleBatch']));

/** Each entry as it is, functions and all, where it has the shape. */
const listOf = <T>(shape: z.ZodType, message: string) =>
  z.array(z.custom<T>((value) => shape.safeParse(value).success, message)).default([]);

const definition = z.strictObject({
  contracts: listOf<JobContract>(contractShape, 'is not what defineJob() answers'),
  handlers: listOf<AnyHandler>(handlerShape, 'is not what handle() or handleBatch() answers'),
  queues: listOf<QueueDefinition>(queueShape, 'is not what defineQueue() answers'),
  schedules: listOf<BuiltInSchedule>(scheduleShape, 'is not what defineSchedule() answers'),
  sagas: listOf<AppSaga>(sagaShape, 'is not what defineSaga() answers'),
  consumers: listOf<AppConsumer>(consumerShape, 'is not what defineConsumer() answers'),
  dataMigrations: listOf<DataMigration>(dataMigrationShape, 'is not what defineDataMigration() answers'),
});

/**
 * The jobs of an app, to be the default export of a module that TREADLE_JOBS names: its handlers, with their contracts;
 * contracts whose handlers are elsewhere; queues, schedules, sagas, consumers of events and data migrations of its own. Every process loads the module, so what only
 * the work needs and takes long to load is imported where a handler uses it.
 * @throws AppError VALIDATION_ERROR naming each entry that is not what it should be.
 */
export const defineJobs = (jobs: Partial<AppJobs>): AppJobs => {
  const { contracts, ...rest } = parseOrThrow(definition, jobs, 'the jobs');
  return Object.freeze({
    ...rest,
    contracts: [...new Set([...contracts, ...rest.handlers.map(({ contract }) => contract)])],
  });
};
