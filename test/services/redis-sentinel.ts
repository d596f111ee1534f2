import { Redis } from 'ioredis';
import { RedisServer } from './redis-server.ts';

const masterName = 'treadle-tests';

/** A master, its replica, and one sentinel that makes the replica the master half a second after the master fell silent. */
export class RedisSentinel {
  readonly master: RedisServer;
  readonly #replica: RedisServer;
  readonly #sentinel: RedisServer;

  private constructor(master: RedisServer, replica: RedisServer, sentinel: RedisServer) {
    this.master = master;
    this.#replica = replica;
    this.#sentinel = sentinel;
  }

  static async start(program: string): Promise<RedisSentinel> {
    const started: RedisServer[] = [];
    const start = async (...options: Parameters<typeof RedisServer.start>): Promise<RedisServer> => {
      const server = await RedisServer.start(...options);
      started.push(server);
      return server;
    };
    try {
      // A replica is copied to at once, not after five seconds.
      const master = await start(program, { args: ['--repl-diskless-sync-delay', '0'] });
      const replica = await start(program, { args: ['--replicaof', '127.0.0.1', String(master.port)] });
      await linked(replica);
      const sentinel = await start(program, {
        sentinel: [
          `sentinel monitor ${masterName} 127.0.0.1 ${master.port} 1`,
          `sentinel down-after-milliseconds ${masterName} 500`,
          `sentinel failover-timeout ${masterName} 3000`,
        ],
      });
      await knows(sentinel, replica);
      return new RedisSentinel(master, replica, sentinel);
    } catch (error) {
      for (const server of started) await server.stop();
      throw error;
    }
  }

  /** With `name`: another master's, which the sentinel does not know. */
  url(name: string = masterName): string {
    return `redis+sentinel://127.0.0.1:${this.#sentinel.port}/${name}`;
  }

  async stop(): Promise<void> {
    for (const server of [this.#sentinel, this.#replica, this.master]) await server.stop();
  }
}

const until = async (server: RedisServer, condition: (client: Redis) => Promise<boolean>): Promise<void> => {
  const client = new Redis(server.url, { maxRetriesPerRequest: 1 });
  try {
    for (const deadline = Date.now() + 20_000; !(await condition(client));) {
      if (Date.now() > deadline) throw new Error('the replica was not there within twenty seconds');
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  } finally {
    client.disconnect();
  }
};

const linked = (replica: RedisServer): Promise<void> =>
  until(replica, async (client) => (await client.info('replication')).includes('master_link_status:up'));

const knows = (sentinel: RedisServer, replica: RedisServer): Promise<void> =>
  until(sentinel, async (client) =>
    JSON.stringify(await client.call('SENTINEL', 'replicas', masterName)).includes(String(replica.port)),
  );
