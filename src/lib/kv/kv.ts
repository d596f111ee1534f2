import type { Postgres } from '../postgres/postgres.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';

/**
 * Where what may be lost is kept, such as sessions, presence and locks: Redis or Postgres. Each of them has a store for
 * either, and one conformance suite for both.
 */
export type Kv =
  | { readonly backend: 'redis'; readonly redis: RedisConnection; readonly postgres: Postgres }
  | { readonly backend: 'postgres'; readonly postgres: Postgres };
