// What `import … from 'treadle/events'` gives: everything that storages of events need, and a suite for an app's own.
export { DomainEvent, type EventData, type EventJson, type NewEvent } from './domain/events/domain-event.ts';
export type { CachedBusOptions, EventBus, EventHandler, PublishOptions } from './domain/events/event-bus.ts';
export * from './domain/events/event-cache.ts';
export * from './domain/events/event-storage.ts';
export * from './domain/events/event-storage-suite.ts';
export { PostgresEventStorage } from './domain/events/postgres/postgres-event-storage.ts';
export { RedisEventStorage, type RedisEventStorageOptions } from './domain/events/redis/redis-event-storage.ts';
export { AppError } from './lib/errors/app-error.ts';
