import { AppError } from '../errors/app-error.ts';
import { redisCodeOf, toAppError } from '../errors/classify.ts';
import type { RedisClient } from './connect-redis.ts';
import type { RedisConnection } from './redis-connection.ts';

const patienceMs = 3_000;
/** First words of what a server answers that is there, and can't keep anything now. */
const fullReplies = new Set(['OOM', 'MISCONF', 'NOREPLICAS', 'BUSY']);

const faultOf = (error: unknown): AppError => {
  const code = redisCodeOf(error);
  const silent = error instanceof AppError && error.code === 'TIMEOUT';
  if (!silent && (code === undefined || !fullReplies.has(code))) return toAppError(error);
  const message = silent ? 'Redis does not answer' : `Redis takes nothing now (${code})`;
  return new AppError('SERVICE_UNAVAILABLE', message, { service: 'redis' }, { cause: error });
};

/**
 * Asks Redis something, for three seconds at most. What was asked may have been done all the same when it fails.
 * @throws AppError SERVICE_UNAVAILABLE while Redis is away, silent, or takes nothing.
 */
export const askRedis = async <T>(redis: RedisConnection, ask: (client: RedisClient) => Promise<T>): Promise<T> => {
  try {
    const client = redis.ready ?? (await redis.client());
    return await redis.deadlines.within(ask(client), patienceMs, 'Redis');
  } catch (error) {
    throw faultOf(error);
  }
};
