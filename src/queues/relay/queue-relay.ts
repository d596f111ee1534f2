import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
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
  const [first] = rows;
  if (rows.every((row) => row.tenant === first?.tenant)) return rows.toSorted(byUrgency);
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
  /** Picked, and not known to be in the queue. */
  #unsure: readonly PickedRow[] = [];
  #epoch: string | undefined;

  constructor(postgres: Postgres, transport: QueueTransport) {
    this.#postgres = postgres;
    this.transport = transport;
  }

  /**
   * Adds as many due jobs as the queue has room for, and answers how many. They are picked in a statement of their own, so
   * that no worker has to wait for a row that is being added. What was picked and may not have been added is added again
   * before anything else; an item that is in the queue already is not added twice.
   */
  async relay(workers: number): Promise<number> {
    const [epoch, backlog] = await Promise.all([
      this.checkEpoch(),
      withTimeout(this.transport.backlog(), answerWithinMs, this.transport.queue),
    ]);
    if (this.#unsure.length > 0) {
      // An add that failed may have happened all the same, and its jobs may have ended since.
      await this.#readUnsure('id = ANY ($2)', [this.#unsure.map(({ id }) => id)]);
      return this.#add(backlog);
    }
    const room = this.#target.room(backlog, workers, performance.now());
    if (room === 0) return 0;
    this.#unsure = inTurns(await this.#pick(Math.min(room, maxBatch), epoch));
    return this.#fill(room, epoch, backlog);
  }

  /** Adds what is picked while the next batch is being picked, until there is no room or nothing due. */
  async #fill(room: number, epoch: string, backlog: number): Promise<number> {
    for (let added = 0; ;) {
      const left = room - added - this.#unsure.length;
      const enough = left <= 0 || this.#unsure.length < Math.min(room, maxBatch) / 2;
      const [adding, picking] = await Promise.allSettled([
        this.#add(backlog),
        enough ? Promise.resolve([]) : this.#pick(Math.min(left, maxBatch), epoch),
      ]);
      if (picking.status === 'fulfilled') this.#unsure = [...this.#unsure, ...inTurns(picking.value)];
      if (adding.status === 'rejected') throw adding.reason;
      if (picking.status === 'rejected') throw picking.reason;
      added += adding.value;
      if (this.#unsure.length === 0) return added;
    }
  }

  /** What the leader before this one picked last: it may have died before the queue had it. */
  async takeOver(): Promise<void> {
    await this.#readUnsure(`relayed_at > now() - interval '1 minute'`, []);
  }

  /** Reads the rows that meet the condition and still wait, as the ledger knows them now. */
  async #readUnsure(condition: string, values: readonly unknown[]): Promise<void> {
    const { rows } = await this.#postgres.query<PickedRow & Record<string, unknown>>(
      `SELECT id, name, tenant, priority, payload, attempts_made, attempts_allowed, timeout_ms, returns, true AS busy
       FROM treadle.jobs WHERE queue = $1 AND state = 'waiting' AND ${condition} ORDER BY relayed_at`,
      [this.transport.queue, ...values],
    );
    this.#unsure = rows;
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
      this.#unsure = [];
    }
    return epoch;
  }

  async #pick(room: number, epoch: string): Promise<readonly PickedRow[]> {
    const pick = (cursor: string) =>
      this.#postgres.queryPrepared<PickedRow & Record<string, unknown>>(loadSql(pickDue), [
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
    return rows;
  }

  /** Behind a backlog, the first job of a tenant with nothing in the queue goes before what waits, so that a quiet tenant need not queue behind a busy one. */
  async #add(backlog: number): Promise<number> {
    const rows = this.#unsure;
    const seen = new Set<string>();
    const isFirstOfQuietTenant = (row: PickedRow): boolean =>
      !row.busy && !seen.has(row.tenant) && Boolean(seen.add(row.tenant));
    const quiet = backlog > 0 ? rows.filter(isFirstOfQuietTenant) : [];
    const rest = quiet.length > 0 ? rows.filter((row) => !quiet.includes(row)) : rows;
    if (rest.length > 0) await this.#addWithin(rest.map(itemOf), false);
    if (quiet.length > 0) await this.#addWithin(quiet.map(itemOf), true);
    this.#unsure = [];
    this.#target.added(rows.length);
    return rows.length;
  }

  #addWithin(items: readonly QueueItem[], first: boolean): Promise<void> {
    return withTimeout(this.transport.add(items, { first }), answerWithinMs, this.transport.queue);
  }
}
