import type { RedisClient } from '../../src/lib/redis/connect-redis.ts';
import { RedisConnection } from '../../src/lib/redis/redis-connection.ts';

/** Is told of each script before it is sent, by its first key and its arguments; when it throws the script is not sent. */
export type Interruption = (key: string, args: readonly string[]) => Promise<void> | void;

/** A connection that lets a test come between two commands, as another process would, or the end of this one. */
export class InterruptedRedis extends RedisConnection {
  interruption: Interruption | undefined;

  override get ready(): undefined {
    return undefined;
  }

  override async client(): Promise<RedisClient> {
    const client = await super.client();
    return new Proxy(client, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return async (...given: unknown[]): Promise<unknown> => {
          if (name === 'evalsha') {
            const [, keys, ...rest] = given.map(String);
            await this.interruption?.(rest[0] ?? '', rest.slice(Number(keys)));
          }
          return Reflect.apply(value, target, given);
        };
      },
    });
  }
}
