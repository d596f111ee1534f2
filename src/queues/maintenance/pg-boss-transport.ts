import type { PgBoss } from 'pg-boss';
import { isBundle, type QueueEntry, type QueueTransport } from '../transport.ts';
import { wakeConsumers } from './maintenance-channel.ts';
import type { PgBossClient } from './pg-boss-client.ts';
import { dataOf, pgBossIdOf } from './pg-boss-item.ts';
import { pgBossSchema } from './pg-boss-schema.ts';

export interface PgBossTransportOptions {
  readonly queue: string;
  /** How long a silent worker keeps its item. */
  readonly lockMs: number;
}

const jobs = `${pgBossSchema}.job`;

/**
 * A queue of pg-boss. It lies in the database of the ledger, so it cannot be lost on its own: its epoch never changes.
 * `close` leaves the {@link PgBossClient} open, which is shared.
 */
export class PgBossTransport implements QueueTransport {
  readonly kind = 'pg-boss';
  readonly bundles = false;
  readonly queue: string;
  readonly #client: PgBossClient;
  readonly #lockMs: number;

  constructor(client: PgBossClient, { queue, lockMs }: PgBossTransportOptions) {
    this.queue = queue;
    this.#client = client;
    this.#lockMs = lockMs;
  }

  epoch(): Promise<string> {
    return Promise.resolve('postgres');
  }

  outages(): number {
    return 0;
  }

  async add(entries: readonly QueueEntry[], { first = false }: { readonly first?: boolean } = {}): Promise<void> {
    const items = entries.flatMap((entry) => (isBundle(entry) ? entry.items : [entry]));
    if (items.length === 0) return;
    const boss = await this.#open();
    await this.#forgetFinished(items.map(({ id }) => id));
    const priority = first ? (await this.#highestPriority()) + 1 : 0;
    // pg-boss takes them by the time of their statement, so each needs one of its own to keep their order.
    for (const item of items) {
      await boss.insert(this.queue, [{ id: pgBossIdOf(item.id), data: dataOf(item), priority }]);
    }
    await wakeConsumers(this.#client.pool, this.queue);
  }

  async backlog(): Promise<number> {
    await this.#open();
    const { rows } = await this.#client.pool.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM ${jobs} WHERE name = $1 AND state < 'active'`,
      [this.queue],
    );
    return rows[0]?.waiting ?? 0;
  }

  async known(ids: readonly string[]): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set();
    await this.#open();
    const { rows } = await this.#client.pool.query<{ id: string }>(
      `SELECT id FROM ${jobs} WHERE name = $1 AND id = ANY ($2) AND state <= 'active'`,
      [this.queue, ids.map(pgBossIdOf)],
    );
    const present = new Set(rows.map(({ id }) => id));
    return new Set(ids.filter((id) => present.has(pgBossIdOf(id))));
  }

  async remove(ids: readonly string[]): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set();
    await this.#open();
    await this.#client.pool.query(`DELETE FROM ${jobs} WHERE name = $1 AND id = ANY ($2) AND state < 'active'`, [
      this.queue,
      ids.map(pgBossIdOf),
    ]);
    const left = await this.known(ids);
    return new Set(ids.filter((id) => !left.has(id)));
  }

  /** pg-boss cannot pause a queue; its consumers read this flag before they take an item. */
  async setPaused(paused: boolean): Promise<void> {
    await this.#client.pool.query(
      `INSERT INTO treadle.queues (name, paused) VALUES ($1, $2)
       ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, updated_at = now()`,
      [this.queue, paused],
    );
    await wakeConsumers(this.#client.pool, this.queue);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #open(): Promise<PgBoss> {
    return this.#client.open(this.queue, this.#lockMs);
  }

  /** An item that pg-boss' own tools ended would otherwise keep its id from being added again. */
  async #forgetFinished(ids: readonly string[]): Promise<void> {
    await this.#client.pool.query(`DELETE FROM ${jobs} WHERE name = $1 AND id = ANY ($2) AND state > 'active'`, [
      this.queue,
      ids.map(pgBossIdOf),
    ]);
  }

  async #highestPriority(): Promise<number> {
    const { rows } = await this.#client.pool.query<{ highest: number }>(
      `SELECT coalesce(max(priority), 0) AS highest FROM ${jobs} WHERE name = $1 AND state < 'active' AND NOT blocked`,
      [this.queue],
    );
    return rows[0]?.highest ?? 0;
  }
}
