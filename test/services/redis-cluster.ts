import { Redis } from 'ioredis';
import { freePortOfNode, RedisServer } from './redis-server.ts';
import { tlsNodeArguments } from './redis-tls.ts';

const slots = 16_384;

const ask = async <T>(server: RedisServer, work: (client: Redis) => Promise<T>): Promise<T> => {
  const client = new Redis(server.url, { maxRetriesPerRequest: 1 });
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
};

const within = async (what: string, condition: () => Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 20_000; !(await condition());) {
    if (Date.now() > deadline) throw new Error(`${what} took longer than twenty seconds`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

/** A Redis Cluster of a test's own: three masters, each with a third of the slots, and replicas where they are asked for. */
export class RedisCluster {
  readonly masters: readonly RedisServer[];
  readonly #program: string;
  readonly #tlsPorts: readonly number[];
  readonly #replicas: RedisServer[] = [];

  private constructor(program: string, masters: readonly RedisServer[], tlsPorts: readonly number[]) {
    this.#tlsPorts = tlsPorts;
    this.#program = program;
    this.masters = masters;
  }

  /** With `tls`: the nodes know each other by their ports for TLS, and so do clients that come by {@link tlsUrl}. */
  static async start(program: string, { tls = false }: { readonly tls?: boolean } = {}): Promise<RedisCluster> {
    const tlsPorts = tls ? [await freePortOfNode(), await freePortOfNode(), await freePortOfNode()] : [];
    const started = await Promise.allSettled(
      [0, 1, 2].map((index) => {
        const port = tlsPorts[index];
        return RedisServer.start(program, { clustered: true, args: port === undefined ? [] : tlsNodeArguments(port) });
      }),
    );
    const cluster = new RedisCluster(
      program,
      started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
      tlsPorts,
    );
    try {
      for (const result of started) if (result.status === 'rejected') throw result.reason;
      await cluster.#join();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get nodes(): readonly RedisServer[] {
    return [...this.masters, ...this.#replicas];
  }

  get url(): string {
    return this.masters.map(({ url }) => url).join(',');
  }

  get tlsUrl(): string {
    return this.#tlsPorts.map((port) => `rediss://localhost:${port}`).join(',');
  }

  /** The master that holds the keys with this hash tag. */
  async masterOf(hashTag: string): Promise<RedisServer> {
    const [any] = this.masters;
    if (!any) throw new Error('the cluster has no master');
    const slot = await ask(any, (client) => client.cluster('KEYSLOT', hashTag));
    const owner = this.masters[Math.floor((slot * this.masters.length) / slots)];
    if (!owner) throw new Error(`nobody holds the slot ${slot}`);
    return owner;
  }

  /** Adds a replica of the master and waits until it has everything. */
  async addReplica(master: RedisServer): Promise<void> {
    const replica = await RedisServer.start(this.#program, { clustered: true });
    this.#replicas.push(replica);
    const id = await ask(master, (client) => client.cluster('MYID'));
    await ask(replica, async (client) => {
      await client.cluster('MEET', '127.0.0.1', master.port);
      await within('the replica', async () => {
        const done = await client.cluster('REPLICATE', id).catch(() => 'not yet');
        return done === 'OK';
      });
      await within('the copy', async () => (await client.info('replication')).includes('master_link_status:up'));
    });
    // Until the others have heard of it they would not vote for it.
    for (const { port } of this.masters)
      await within('the news of the replica', () =>
        this.#ask(port, async (client) => String(await client.cluster('NODES')).includes(`slave ${id}`)),
      );
  }

  /** Makes the last replica the master in place of its own, which is there still. */
  async takeOver(): Promise<void> {
    const replica = this.#replicas.at(-1);
    if (!replica) throw new Error('the cluster has no replica');
    await ask(replica, async (client) => {
      await client.call('CLUSTER', 'FAILOVER', 'TAKEOVER');
      await within('the takeover', async () => (await client.info('replication')).includes('role:master'));
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async #ask<T>(port: number, work: (client: Redis) => Promise<T>): Promise<T> {
    const node = this.nodes.find((server) => server.port === port);
    if (!node) throw new Error(`no node listens on ${port}`);
    return ask(node, work);
  }

  async #join(): Promise<void> {
    const share = (node: number): number => Math.ceil((node * slots) / this.masters.length);
    for (const [index, node] of this.masters.entries()) {
      await ask(node, async (client) => {
        const own = Array.from({ length: share(index + 1) - share(index) }, (_, slot) => share(index) + slot);
        await client.cluster('SET-CONFIG-EPOCH', index + 1);
        await client.cluster('ADDSLOTS', ...own);
        const others = this.#tlsPorts.length > 0 ? this.#tlsPorts : this.masters.map(({ port }) => port);
        for (const port of others.slice(0, index)) await client.cluster('MEET', '127.0.0.1', port);
      });
    }
    const size = this.masters.length;
    await within('joining the cluster', async () => {
      const infos = await Promise.all(this.masters.map((node) => ask(node, (client) => client.cluster('INFO'))));
      return infos.every((info) => info.includes('cluster_state:ok') && info.includes(`cluster_size:${size}`));
    });
  }
}
