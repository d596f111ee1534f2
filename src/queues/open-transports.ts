import type { Pool } from 'pg';
import { GroupCommit } from '../lib/batching/group-commit.ts';
import type { Config } from '../lib/config/load-config.ts';
import type { Log } from '../lib/log/create-log.ts';
import { createPool } from '../lib/postgres/pool.ts';
import type { Postgres } from '../lib/postgres/postgres.ts';
import type { BullConnection } from './bullmq/bull-connection.ts';
import type { JobRegistry } from './job-registry.ts';
import type { PgBossClient } from './maintenance/pg-boss-client.ts';
import type { QueueItem, QueueTransport } from './transport.ts';

export interface TransportParts {
  readonly config: Config;
  readonly postgres: Postgres;
  readonly registry: JobRegistry;
  readonly log: Log;
}

/** Of many items so many are added at a time: the next are prepared while the server takes those before. */
const directBatch = 250;
const addsAtOnce = 4;

const chunksOf = <T>(items: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, chunk) => items.slice(chunk * size, (chunk + 1) * size));

/** The queues of a process and the connections that carry them, each opened when it is first asked for. */
export class Transports {
  readonly #parts: TransportParts;
  readonly #open = new Map<string, Promise<QueueTransport>>();
  readonly #direct = new Map<string, GroupCommit<QueueItem, void>>();
  #bull: Promise<BullConnection> | undefined;
  #pgBoss: Promise<PgBossClient> | undefined;
  #pgBossPool: Pool | undefined;

  constructor(parts: TransportParts) {
    this.#parts = parts;
  }

  /** @throws AppError NOT_FOUND for a queue that is not defined. */
  async of(queue: string): Promise<QueueTransport> {
    const definition = this.#parts.registry.queue(queue);
    const transport =
      this.#open.get(queue) ??
      (definition.transport === 'bullmq' ? this.#openBull(queue) : this.#openPgBoss(queue, definition.lockMs));
    this.#open.set(queue, transport);
    return transport;
  }

  all(): Promise<readonly QueueTransport[]> {
    return Promise.all(this.#parts.registry.queues.map(({ name }) => this.of(name)));
  }

  /**
   * Adds items of one queue around the ledger, many in several adds at a time. On Postgres, calls with one item made while
   * an add is under way share the next one; on Redis the client's pipelining does as well by itself. An add that fails may
   * leave some of the items in the queue.
   */
  async addDirectly(queue: string, items: readonly QueueItem[]): Promise<void> {
    if (items.length > 1 || this.#parts.config.queueBackend === 'redis') {
      const transport = await this.of(queue);
      for (const window of chunksOf(items, addsAtOnce * directBatch))
        await Promise.all(chunksOf(window, directBatch).map((batch) => transport.add(batch)));
      return;
    }
    const group = this.#direct.get(queue) ?? this.#groupFor(queue);
    await Promise.all(items.map((item) => group.submit(item)));
  }

  bull(): Promise<BullConnection> {
    this.#bull ??= this.#connectBull();
    return this.#bull;
  }

  pgBoss(): Promise<PgBossClient> {
    this.#pgBoss ??= this.#connectPgBoss();
    return this.#pgBoss;
  }

  async close(): Promise<void> {
    for (const group of this.#direct.values()) await group.close();
    for (const transport of this.#open.values()) await (await transport).close();
    await (await this.#bull)?.close();
    await (await this.#pgBoss)?.close();
    await this.#pgBossPool?.end();
  }

  #groupFor(queue: string): GroupCommit<QueueItem, void> {
    const group = new GroupCommit<QueueItem, void>({
      maxBatch: 1_000,
      write: async (items) => {
        await (await this.of(queue)).add(items);
        return items.map(() => undefined);
      },
    });
    this.#direct.set(queue, group);
    return group;
  }

  async #openBull(queue: string): Promise<QueueTransport> {
    const { BullTransport } = await import('./bullmq/bull-transport.ts');
    return new BullTransport(await this.bull(), queue);
  }

  async #openPgBoss(queue: string, lockMs: number): Promise<QueueTransport> {
    const { PgBossTransport } = await import('./maintenance/pg-boss-transport.ts');
    return new PgBossTransport(await this.pgBoss(), { queue, lockMs });
  }

  async #connectBull(): Promise<BullConnection> {
    const { connectBull } = await import('./bullmq/bull-connection.ts');
    return connectBull(this.#parts.config, this.#parts.postgres.directUrl, this.#parts.log);
  }

  async #connectPgBoss(): Promise<PgBossClient> {
    const { config, postgres, log } = this.#parts;
    const { PgBossClient } = await import('./maintenance/pg-boss-client.ts');
    if (postgres.directUrl !== config.database.url && config.database.url !== undefined) {
      this.#pgBossPool = createPool(
        { url: postgres.directUrl, max: 4, statementTimeoutMs: 60_000, applicationName: 'treadle:pg-boss' },
        log,
      );
    }
    return new PgBossClient(this.#pgBossPool ?? postgres.pool, log);
  }
}
