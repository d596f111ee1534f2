import { uuidV7 } from '../../lib/ids/uuid-v7.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { QueueLimits } from '../limits/queue-limits.ts';

export interface PickedRow {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly group_key: string;
  readonly payload: Readonly<Record<string, unknown>> | null;
  readonly attempts_made: number;
  readonly attempts_allowed: number;
  readonly timeout_ms: number;
  readonly returns: number;
  readonly bundle: string | null;
  readonly awaits: number | null;
  /** Null unless the job fails for the children it waited for; once its handler has added others it is the handler's turn. */
  readonly children_failed: number | null;
  /** Goes before everything that waits. */
  readonly first: boolean;
  /** Where it stands in its batch. */
  readonly position: number;
  /** When it was due, if not when it was accepted. */
  readonly due_ms: number | null;
  readonly traceparent: string | null;
  /** How many of its kind run is limited. */
  readonly capped?: boolean;
}

/** The last row of pick-limited.sql. */
interface LookedRow {
  readonly id: null;
  readonly tenant: string;
  readonly group_key: string;
  readonly lanes: number;
  readonly held: boolean;
  readonly held_ms: number | null;
}

interface Lane {
  readonly tenant: string;
  readonly group: string;
}

export interface PickRequest {
  readonly queue: string;
  readonly room: number;
  readonly epoch: string;
  readonly bundleSize: number;
  readonly isBehind: boolean;
  readonly limits: QueueLimits | undefined;
  readonly limitsVersion: number;
}

export interface Picked {
  /** In the order in which they are to be added. */
  readonly rows: readonly PickedRow[];
  /** There may be more that is due. */
  readonly more: boolean;
  /** A limit holds back what is due, for so long at most. */
  readonly heldMs: number | undefined;
}

const pickDue = new URL('./pick-due.sql', import.meta.url);
const pickLimited = new URL('./pick-limited.sql', import.meta.url);
const maxLanes = 200;
/** Of many lanes that their limits hold back, so many times `maxLanes` are looked at in one turn. */
const maxLooks = 5;
/** The end of a job that others wait for is told; jobs of others, which nothing holds back, are looked for this often. */
const maxHeldMs = 100;
const firstLane: Lane = { tenant: '', group: '' };

const laneOf = ({ tenant, group_key: group }: PickedRow | LookedRow): Lane => ({ tenant, group });
const isFirst = ({ tenant, group }: Lane): boolean => tenant === '' && group === '';
/** U+0001 is the least character Postgres can store. */
const behind = ({ tenant, group }: Lane): Lane => ({ tenant, group: `${group}\u0001` });
const compareTexts = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));
/** As the index sorts them. */
const compareLanes = (a: Lane, b: Lane): number => compareTexts(a.tenant, b.tenant) || compareTexts(a.group, b.group);

const byPosition = (a: PickedRow, b: PickedRow): number => a.position - b.position;

/** Picks the due jobs of one queue in turns, and remembers whose turn is next. */
export class Picker {
  readonly #postgres: Postgres;
  #next: Lane = firstLane;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async pick(request: PickRequest): Promise<Picked> {
    let held: LookedRow | undefined;
    for (let looks = 0; looks < maxLooks; looks += 1) {
      const from = this.#next;
      const { rows, looked } = await this.#pickFrom(from, request);
      if (rows.length > 0) return this.#served(rows, request.room, looked?.held === true || !isFirst(from));
      if (looked?.held) held = looked;
      // Nothing, or nothing that a limit lets go: behind these lanes, or before them, there may be some.
      this.#next = looked?.lanes === maxLanes ? behind(laneOf(looked)) : firstLane;
      if (isFirst(this.#next) && (isFirst(from) || looks > 0))
        return { rows, more: held !== undefined, heldMs: held && Math.min(held.held_ms ?? maxHeldMs, maxHeldMs) };
    }
    return { rows: [], more: true, heldMs: undefined };
  }

  async #pickFrom(
    { tenant, group }: Lane,
    { queue, room, epoch, bundleSize, isBehind, limits, limitsVersion }: PickRequest,
  ): Promise<{ readonly rows: readonly PickedRow[]; readonly looked: LookedRow | undefined }> {
    const values = [queue, tenant, group, maxLanes, room, epoch, uuidV7(), bundleSize, isBehind, limitsVersion];
    const { rows: found } = await this.#postgres.queryPrepared<(PickedRow | LookedRow) & Record<string, unknown>>(
      loadSql(limits ? pickLimited : pickDue),
      limits ? [...values, limits.json] : values,
    );
    const rows: PickedRow[] = [];
    let looked: LookedRow | undefined;
    for (const row of found) {
      if (row.id === null) looked = row;
      else rows.push(row);
    }
    return { rows, looked };
  }

  /** The next turn goes to the lane behind the last one served. */
  #served(rows: readonly PickedRow[], room: number, others: boolean): Picked {
    const lanes = rows.map(laneOf).toSorted(compareLanes);
    const [first, last] = [lanes[0] ?? firstLane, lanes.at(-1) ?? firstLane];
    const several = compareLanes(first, last) !== 0;
    this.#next = several ? behind(last) : firstLane;
    // Of several lanes each gave its share only.
    return { rows: rows.toSorted(byPosition), more: several || others || rows.length >= room, heldMs: undefined };
  }
}
