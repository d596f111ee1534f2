import { positionOfCommit, versionOf } from '../lib/replication/change-version.ts';
import type { Lsn } from '../lib/replication/lsn.ts';
import type { ChangedEntity, ReadColumn } from '../lib/replication/watch.ts';
import type { ChangeBatch, QueuedEntity } from './change-batch.ts';

/** The transaction that changes are of. */
export interface OpenTransaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
}

export interface TakenBatch extends ChangeBatch {
  /** Everything up to here is in this batch or in one before; undefined when no transaction has ended in it. */
  readonly completeTo: Lsn | undefined;
  /** Of the first transaction, which the batch before may have begun; undefined without any. */
  readonly firstPosition: Lsn | undefined;
  readonly bytes: number;
}

/** A row that a sink is given as it is. */
export interface CarriedRow {
  /** Null: it was deleted. */
  readonly row: ReadColumn | null;
  readonly bytes: number;
}

const nameOf = ({ kind, workspaceId, id }: ChangedEntity): string => `${kind}\0${workspaceId}\0${id}`;

/** Changes of some transactions, each entity once. */
class Gathered {
  /** In the order of their last changes. */
  readonly entities = new Map<string, QueuedEntity>();
  readonly truncated = new Set<string>();
  readonly xids = new Set<number>();
  bytes = 0;
  position: Lsn = 0n;
  firstPosition: Lsn | undefined;

  get isEmpty(): boolean {
    return this.entities.size === 0 && this.truncated.size === 0;
  }

  set(name: string, entity: QueuedEntity): void {
    this.entities.delete(name);
    this.entities.set(name, entity);
  }

  /**
   * The kind has to be read again as a whole. What was waiting of it is told all the same, without the rows that are gone:
   * another process may be writing them still, and must come upon their tombstones.
   */
  truncate(kind: string): void {
    this.truncated.add(kind);
    for (const [name, { image, ...entity }] of this.entities) {
      if (entity.kind === kind && image) this.entities.set(name, entity);
    }
  }

  belong({ xid, commitLsn }: OpenTransaction): void {
    this.xids.add(xid);
    this.position = positionOfCommit(commitLsn);
    this.firstPosition ??= this.position;
  }

  /** Those of a later transaction. */
  append(later: Gathered): void {
    for (const kind of later.truncated) this.truncate(kind);
    for (const [name, entity] of later.entities) this.set(name, entity);
    for (const xid of later.xids) this.xids.add(xid);
    this.bytes += later.bytes;
    this.position = later.position;
    this.firstPosition ??= later.firstPosition;
  }
}

/**
 * What a sink has yet to take, in the order of commits: an entity stands in it once. Whole transactions are taken, and the
 * middle of one only when there is no other: so one of any size passes through a queue of bounded size.
 */
export class SinkQueue {
  readonly #epoch: number;
  #whole = new Gathered();
  /** Of the transaction that is being told. */
  #open = new Gathered();
  /** Whose xid is in there. */
  #belongsTo: OpenTransaction | undefined;
  #versioned = { commitLsn: -1n, version: 0n };
  #completeTo: Lsn | undefined;

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /** How many entities are waiting. */
  get size(): number {
    return this.#whole.entities.size + this.#open.entities.size;
  }

  /** Of how many entities whole transactions are waiting. */
  get wholeSize(): number {
    return this.#whole.entities.size;
  }

  /** There is something that was told to its end, if only a position. */
  get hasWhole(): boolean {
    return !this.#whole.isEmpty || this.#completeTo !== undefined;
  }

  /** About what the rows take that are carried along, those that were replaced by newer ones included. */
  get bytes(): number {
    return this.#whole.bytes + this.#open.bytes;
  }

  /** Nothing to take, not even a position. */
  get isEmpty(): boolean {
    return !this.hasWhole && this.#open.isEmpty;
  }

  add(entity: ChangedEntity, transaction: OpenTransaction, carried?: CarriedRow): void {
    const name = nameOf(entity);
    if (carried) {
      const image = { row: carried.row, version: this.#versionIn(transaction) };
      const { kind, workspaceId, id } = entity;
      this.#open.set(name, { kind, workspaceId, id, image });
      this.#open.bytes += carried.bytes;
    } else this.#open.set(name, entity);
    this.#belong(transaction);
  }

  /** Everything of this kind has to be read again. */
  truncate(kind: string, transaction: OpenTransaction): void {
    this.#open.truncate(kind);
    this.#belong(transaction);
  }

  /** Everything up to this position has been added. */
  complete(upTo: Lsn): void {
    this.#completeTo = upTo;
    if (this.#open.isEmpty) return;
    if (this.#whole.isEmpty) this.#whole = this.#open;
    else this.#whole.append(this.#open);
    this.#open = new Gathered();
    this.#belongsTo = undefined;
  }

  /** What there is, which the queue then no longer has. */
  take(): TakenBatch {
    const takesOpen = !this.hasWhole;
    const taken = takesOpen ? this.#open : this.#whole;
    if (takesOpen) {
      this.#open = new Gathered();
      this.#belongsTo = undefined;
    } else this.#whole = new Gathered();
    const { entities, truncated, xids, position, firstPosition, bytes } = taken;
    const completeTo = this.#completeTo;
    this.#completeTo = undefined;
    return {
      entities: [...entities.values()],
      truncated: [...truncated],
      xids: [...xids],
      position,
      completeTo,
      firstPosition,
      bytes,
    };
  }

  /** Rows come many to a transaction. */
  #versionIn({ commitLsn }: OpenTransaction): bigint {
    if (this.#versioned.commitLsn !== commitLsn) {
      this.#versioned = { commitLsn, version: versionOf(this.#epoch, positionOfCommit(commitLsn)) };
    }
    return this.#versioned.version;
  }

  #belong(transaction: OpenTransaction): void {
    if (transaction === this.#belongsTo) return;
    this.#belongsTo = transaction;
    this.#open.belong(transaction);
  }
}
