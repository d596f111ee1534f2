import { createHash } from 'node:crypto';
import { redisCodeOf } from '../errors/classify.ts';
import type { RedisClient } from './connect-redis.ts';

/** A script that Redis runs as one step. All its keys have one hash tag, so that a Cluster runs it too. */
export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

export const redisScript = (lua: string): RedisScript => ({
  lua,
  sha: createHash('sha1').update(lua).digest('hex'),
});

/** Sent whole only to a server that does not know it yet. @throws what the script or the connection throws. */
export const runScript = (
  client: RedisClient,
  { lua, sha }: RedisScript,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> =>
  client.evalsha(sha, keys.length, ...keys, ...args).catch((error: unknown) => {
    if (redisCodeOf(error) !== 'NOSCRIPT') throw error;
    return client.eval(lua, keys.length, ...keys, ...args);
  });
