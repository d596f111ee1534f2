import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { isBundle, transportIdOf, type QueueEntry, type QueueItem, type QueueTransport } from '../transport.ts';
import type { QueueLimits } from '../limits/queue-limits.ts';
import { BacklogTarget } from './backlog-target.ts';
import { Picker, type Picked, type PickedRow } from './picker.ts';

const maxBatch = 1_000;
const answerWithinMs = 5_000;

const itemOf = (row: PickedRow, unsure: boolean): QueueItem => ({
  id: transportIdOf(row.id, row.returns),
  name: row.name,
  envelope: {
    payload: row.payload,
    tenant: row.tenant,
    attemptsMade: row.attempts_made,
    attemptsAllowed: row.attempts_allowed,
    timeoutMs: row.timeout_ms,
    returns: row.returns,
    tracked: true,
    ...(row.awaits === null ? {} : { awaits: row.awaits }),
    ...(row.children_failed === null ? {} : { childrenFailed: row.children_failed }),
    ...(row.capped ? { limited: true } : {}),
    ...(unsure ? { unsure } : {}),
    ...(row.due_ms === null ? {} : { dueMs: row.due_ms }),
    ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
  },
});

const entriesOf = (rows: readonly PickedRow[], unsure: boolean): readonly QueueEntry[] => {
  const entries = new Map<string, { id: string; items: QueueItem[] } | QueueItem>();
  for (const row of rows) {
    const item = itemOf(row, unsure);
    if (row.bundle === null) {
      entries.set(item.id, item);
      continue;
    }
    const bundle = entries.get(row.bundle);
    if (bundle && isBundle(bundle)) bundle.items.push(item);
    else entries.set(row.bundle, { id: row.bundle, items: [item] });
  }
  return [...entries.values()];
};

const nothing: Picked = { rows: [], more: false, heldMs: undefined };

/** What a turn of the relay did for one queue: how many jobs it added, and whether the ledger may have more. */
export interface Relayed {
  readonly added: number;
  readonly more: boolean;
  /** A limit holds back what is due, for so long at most. */
  readonly heldMs?: number | undefined;
}

export interface RelayRequest {
  /** How many jobs of the queue all workers run at once. */
  readonly workers: number;
  readonly limits: QueueLimits | undefined;
  /** Of all limits: nothing is picked once there are newer ones. */
  readonly limitsVersion: number;
  /** Once it answers false nothing is picked any more. */
  readonly leads: () => boolean;
}

/** Moves due jobs of one queue from the ledger to its transport. */
export class QueueRelay {
  readonly transport: QueueTransport;
  readonly #postgres: Postgres;
  readonly #target = new BacklogTarget();
  readonly #picker: Picker;
  #picked: readonly PickedRow[] = [];
  /** What was picked may be in the queue already, or have ended. */
  #unsure = false;
  #epoch: string | undefined;
  #emptied = false;

  constructor(postgres: Postgres, transport: QueueTransport) {
    this.#postgres = postgres;
    this.#picker = new Picker(postgres);
    this.transport = transport;
  }

  /**
   * Adds as many due jobs as the queue has room for. They are picked in a statement of their own, so that no worker has to
   * wait for a row that is being added. What was picked and may not have been added is added again before anything else,
   * under the same names: an entry that is in the queue already is not added twice.
   */
  async relay({ workers, limits, limitsVersion, leads }: RelayRequest): Promise<Relayed> {
    const [epoch, entries] = await Promise.all([
      this.checkEpoch(),
      withTimeout(this.transport.backlog(), answerWithinMs, this.transport.queue),
    ]);
    if (this.#picked.length > 0) {
      this.#unsure = true;
      await this.#readPicked('id = ANY ($2)', [this.#picked.map(({ id }) => id)]);
      return { added: await this.#add(), more: true };
    }
    const room = this.#target.room(entries, workers * (limits?.batchSize ?? 1), performance.now());
    if (room === 0 || !leads()) return { added: 0, more: true };
    let last: Picked = nothing;
    const pick = async (most: number): Promise<readonly PickedRow[]> => {
      const bundleSize = this.transport.bundles ? this.#target.bundleSize : 1;
      const { queue } = this.transport;
      const given = { queue, epoch, bundleSize, isBehind: entries > 0, limits, limitsVersion };
      last = await this.#picker.pick({ ...given, room: Math.min(most, maxBatch) });
      return last.rows;
    };
    this.#picked = await pick(room);
    // The next batch is picked while one is being added, until there is no room or nothing due.
    for (let added = 0; ;) {
      const left = room - added - this.#picked.length;
      this.#unsure ||= !leads();
      const enough = !leads() || left <= 0 || this.#picked.length < Math.min(room, maxBatch) / 2;
      const [adding, picking] = await Promise.allSettled([this.#add(), enough ? Promise.resolve([]) : pick(left)]);
      if (picking.status === 'fulfilled') this.#picked = [...this.#picked, ...picking.value];
      if (adding.status === 'rejected') throw adding.reason;
      if (picking.status === 'rejected') throw picking.reason;
      added += adding.value;
      if (this.#picked.length === 0) return { added, more: last.more, heldMs: last.heldMs };
    }
  }

  /** Takes up what the leader before this one picked last: it may have died before the queue had it. True if there is any. */
  async takeOver(): Promise<boolean> {
    if (this.#picked.length > 0) return true;
    await this.#readPicked(`relayed_at > now() - interval '1 minute'`, []);
    return this.#picked.length > 0;
  }

  /** Reads the rows that meet the condition and still wait, as the ledger knows them now. */
  async #readPicked(condition: string, values: readonly unknown[]): Promise<void> {
    const { rows } = await this.#postgres.query<PickedRow & Record<string, unknown>>(
      `SELECT id, name, tenant, group_key, payload, attempts_made, attempts_allowed, timeout_ms, returns, bundle, false AS first, 0 AS position, true AS capped,
         awaits, CASE WHEN child_failure = 'fail' AND children_failed > 0 AND children_spawned IS NULL THEN children_failed END AS children_failed,
         CASE WHEN due_at > created_at THEN (extract(epoch FROM due_at) * 1000)::float8 END AS due_ms, traceparent
       FROM treadle.jobs WHERE queue = $1 AND state = 'waiting' AND ${condition} ORDER BY relayed_at`,
      [this.transport.queue, ...values],
    );
    this.#picked = rows;
  }

  /**
   * Asks the transport for its epoch. When it changed, the transport lost what it held: the rows relayed under another
   * epoch are made ready again, as other items: a newer job of the same deduplication key may be waiting beside them.
   */
  async checkEpoch(): Promise<string> {
    const epoch = await withTimeout(this.transport.epoch(), answerWithinMs, this.transport.queue);
    if (epoch !== this.#epoch) {
      await this.#postgres.query(
        `UPDATE treadle.jobs SET state = 'accepted', returns = abs(returns) + 1, relayed_at = NULL, relay_epoch = NULL,
           bundle = NULL
         WHERE queue = $1 AND state IN ('waiting', 'active') AND relay_epoch IS DISTINCT FROM $2`,
        [this.transport.queue, epoch],
      );
      this.#epoch = epoch;
      this.#emptied = true;
      this.#target.emptied();
    }
    return epoch;
  }

  /** Whether the queue has lost what it held, and its settings with it, since this was last asked. */
  wasEmptied(): boolean {
    const emptied = this.#emptied;
    this.#emptied = false;
    return emptied;
  }

  /** A quiet tenant need not queue behind a busy one: its first job goes before what waits. */
  async #add(): Promise<number> {
    const rows = this.#picked;
    const first = rows.filter((row) => row.first);
    await this.#addWithin(entriesOf(first.length > 0 ? rows.filter((row) => !row.first) : rows, this.#unsure), false);
    await this.#addWithin(entriesOf(first, this.#unsure), true);
    this.#picked = [];
    this.#unsure = false;
    return rows.length;
  }

  async #addWithin(entries: readonly QueueEntry[], first: boolean): Promise<void> {
    if (entries.length === 0) return;
    await withTimeout(this.transport.add(entries, { first }), answerWithinMs, this.transport.queue);
    // What may have been there before was counted then.
    if (!this.#unsure) this.#target.added(entries.map((entry) => (isBundle(entry) ? entry.items.length : 1)));
  }
}
