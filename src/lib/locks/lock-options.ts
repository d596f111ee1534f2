import { z } from 'zod';
import { parseOrThrow } from '../errors/zod-faults.ts';
import { entityId } from '../kv/entity-id.ts';

export interface LockOptions {
  /** How long it stays a silent holder's: 30 s by default, from 100 ms to a day. It is renewed while it is held. */
  readonly ttlMs?: number | undefined;
  /** Between two looks whether it is free: 100 ms by default, from 10 ms to a minute. */
  readonly retryDelayMs?: number | undefined;
  /** How long it is waited for at most: `ttlMs` by default, up to a day; 0 looks once. */
  readonly waitMs?: number | undefined;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

const dayMs = 86_400_000;

const rules = z.object({
  resource: entityId(500),
  ttlMs: z.int().min(100).max(dayMs).default(30_000),
  retryDelayMs: z.int().min(10).max(60_000).default(100),
  waitMs: z.int().min(0).max(dayMs).optional(),
});

export interface LockRequest {
  readonly resource: string;
  readonly ttlMs: number;
  readonly retryDelayMs: number;
  readonly waitMs: number;
}

/** @throws AppError VALIDATION_ERROR naming every fault. */
export const parseLockRequest = (resource: string, { ttlMs, retryDelayMs, waitMs }: LockOptions): LockRequest => {
  const request = parseOrThrow(rules, { resource, ttlMs, retryDelayMs, waitMs }, 'the lock');
  return { ...request, waitMs: request.waitMs ?? request.ttlMs };
};
