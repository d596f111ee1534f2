// What `import … from 'treadle'` gives: everything that modules of contracts and handlers need.
export {
  defineConsumer,
  type ConsumerContext,
  type ConsumerOptions,
  type EventConsumer,
} from './domain/events/consumers/define-consumer.ts';
export * from './domain/sagas/define-saga.ts';
export * from './domain/search/define-index.ts';
export { CacheKeyBuilder } from './lib/cache/cache-key-builder.ts';
export { CACHE_PRESETS } from './lib/cache/cache-presets.ts';
export * from './lib/errors/app-error.ts';
export type * from './lib/errors/catalogue.ts';
export {
  defineDataMigration,
  type DataChange,
  type DataMigration,
  type DataMigrationDefinition,
  type DownAnswer,
  type DownBatch,
  type JsonValue,
  type UpAnswer,
  type UpBatch,
} from './lib/migrations/data/define-data-migration.ts';
export { defineTable, type RowOf, type TableDefinition } from './lib/postgres/query-patterns/table-definition.ts';
export type { QueryPatterns } from './lib/postgres/query-patterns/query-patterns.ts';
export type { Where } from './lib/postgres/query-patterns/where.ts';
export * from './queues/app-jobs/define-jobs.ts';
export * from './queues/define-job.ts';
export { defineQueue, type QueueDefinition } from './queues/define-queue.ts';
export * from './queues/define-schedule.ts';
export { flow, type FlowNode, type FlowOptions } from './queues/flows/prepare-flow.ts';
export * from './queues/handle.ts';
export type { Limit, TenantLimit } from './queues/limits/limit.ts';
export * from './queues/once.ts';
export * from './queues/outcome.ts';
export * from './queues/thread-handler.ts';
export type { Platform } from './platform.ts';
