import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { PreparingQueryable } from '../../lib/postgres/queryable.ts';
import { transportIdOf, type QueueItem, type QueueTransport } from '../transport.ts';
import { BacklogTarget } from './backlog-target.ts';

interface PickedRow {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly priority: number;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly attempts_made: number;
  readonly attempts_allowed: number;
  readonly timeout_ms: number;
  readonly returns: number;
  readonly busy: boolean;
}

const pickDue = new URL('./pick-due.sql', import.meta.url);
const maxBatch = 1_000;
const answerWithinMs = 5_000;
const maxTenants = 200;

const itemOf = (row: PickedRow): QueueItem => ({
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
  },
});

const byUrgency = (a: PickedRow, b: PickedRow): number => a.priority - b.priority || (a.id < b.id ? -1 : 1);

/** Deals the rows out one tenant after the other, each tenant's most urgent first. */
const inTurns = (rows: readonly PickedRow[]): readonly PickedRow[] => {
  const tenants = Object.groupBy(rows.toSorted(byUrgency), (row) => row.tenant);
  return Object.values(tenants)
    .flatMap((own = []) => own.map((row, turn) => ({ row, turn })))
    .toSorted((a, b) => a.turn - b.turn)
    .map(({ row }) => row);
};

/** Moves due jobs of one queue from the ledger to its transport. */
export class QueueRelay {
  readonly transport: QueueTransport;
  readonly #postgres: Postgres;
  readonly #target = new BacklogTarget();
  #cursor = '';
  #epoch: string | undefined;

  constructor(postgres: Postgres, transport: QueueTransport) {
    this.#postgres = postgres;
    this.transport = transport;
  }

  /**
   * Adds as many due jobs as the queue has room for, and answers how many. Picking and adding are one transaction: if
   * either fails the rows stay accepted, and adding the same id again later does nothing.
   */
  async relay(workers: number): Promise<number> {
    const [epoch, backlog] = await Promise.all([
      this.checkEpoch(),
      withTimeout(this.transport.backlog(), answerWithinMs, this.transport.queue),
    ]);
    const room = Math.min(maxBatch, this.#target.room(backlog, workers, performance.now()));
    if (room === 0) return 0;
    const added = await this.#postgres.transaction((tx) => this.#pickAndAdd(tx, room, epoch, backlog), {
      name: 'relay',
    });
    this.#target.added(added);
    return added;
  }

  /**
   * Asks the transport for its epoch. When it changed, the transport lost what it held: the rows relayed under another
   * epoch are made ready again, as other items: a newer job of the same deduplication key may be waiting beside them.
   */
  async checkEpoch(): Promise<string> {
    const epoch = await withTimeout(this.transport.epoch(), answerWithinMs, this.transport.queue);
    if (epoch !== this.#epoch) {
      await this.#postgres.query(
        `UPDATE treadle.jobs SET state = 'accepted', returns = abs(returns) + 1, relayed_at = NULL, relay_epoch = NULL
         WHERE queue = $1 AND state IN ('waiting', 'active') AND relay_epoch IS DISTINCT FROM $2`,
        [this.transport.queue, epoch],
      );
      this.#epoch = epoch;
    }
    return epoch;
  }

  async #pickAndAdd(tx: PreparingQueryable, room: number, epoch: string, backlog: number): Promise<number> {
    const pick = (cursor: string) =>
      tx.queryPrepared<PickedRow & Record<string, unknown>>(loadSql(pickDue), [
        this.transport.queue,
        cursor,
        room,
        maxTenants,
        epoch,
      ]);
    let { rows } = await pick(this.#cursor);
    if (rows.length === 0 && this.#cursor !== '') ({ rows } = await pick(''));
    const tenants = new Set(rows.map((row) => row.tenant));
    // The next turn goes to the tenant behind the last one served; U+0001 is the least character Postgres can store.
    this.#cursor =
      tenants.size > 1
        ? `${[...tenants].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).at(-1) ?? ''}\u0001`
        : '';
    if (rows.length > 0) await this.#add(inTurns(rows), backlog);
    return rows.length;
  }

  /** Behind a backlog, the first job of a tenant with nothing in the queue goes before what waits, so that a quiet tenant need not queue behind a busy one. */
  async #add(rows: readonly PickedRow[], backlog: number): Promise<void> {
    const seen = new Set<string>();
    const isFirstOfQuietTenant = (row: PickedRow): boolean =>
      !row.busy && !seen.has(row.tenant) && Boolean(seen.add(row.tenant));
    const quiet = backlog > 0 ? rows.filter(isFirstOfQuietTenant) : [];
    const rest = quiet.length > 0 ? rows.filter((row) => !quiet.includes(row)) : rows;
    if (rest.length > 0) await this.#addWithin(rest.map(itemOf), false);
    if (quiet.length > 0) await this.#addWithin(quiet.map(itemOf), true);
  }

  #addWithin(items: readonly QueueItem[], first: boolean): Promise<void> {
    return withTimeout(this.transport.add(items, { first }), answerWithinMs, this.transport.queue);
  }
}
