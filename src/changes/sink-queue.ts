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

/**
 * What a sink has yet to take, in the order of commits: an entity stands in it once. It may be taken in the middle of a
 * transaction, so that one of any size passes through a queue of bounded size.
 */
export class SinkQueue {
  readonly #epoch: number;
  #entities = new Map<string, QueuedEntity>();
  #truncated = new Set<string>();
  #xids = new Set<number>();
  #bytes = 0;
  #position: Lsn = 0n;
  #firstPosition: Lsn | undefined;
  /** Whose xid is in the set. */
  #belongsTo: OpenTransaction | undefined;
  #versioned = { commitLsn: -1n, version: 0n };
  #completeTo: Lsn | undefined;

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /** How many entities are waiting. */
  get size(): number {
    return this.#entities.size;
  }

  /** About what the rows take that are carried along, those that were replaced by newer ones included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing to take, not even a position. */
  get isEmpty(): boolean {
    return this.#entities.size === 0 && this.#truncated.size === 0 && this.#completeTo === undefined;
  }

  add(entity: ChangedEntity, transaction: OpenTransaction, carried?: CarriedRow): void {
    const name = nameOf(entity);
    // The order of the map is the order of the last changes.
    this.#entities.delete(name);
    if (carried) {
      const image = { row: carried.row, version: this.#versionIn(transaction) };
      const { kind, workspaceId, id } = entity;
      this.#entities.set(name, { kind, workspaceId, id, image });
      this.#bytes += carried.bytes;
    } else this.#entities.set(name, entity);
    this.#belong(transaction);
  }

  /**
   * The kind has to be read again as a whole. What was waiting of it is told all the same, without the rows that are gone:
   * another process may be writing them still, and must come upon their tombstones.
   */
  truncate(kind: string, transaction: OpenTransaction): void {
    this.#truncated.add(kind);
    for (const [name, { image, ...entity }] of this.#entities) {
      if (entity.kind === kind && image) this.#entities.set(name, entity);
    }
    this.#belong(transaction);
  }

  /** Everything up to this position has been added. */
  complete(upTo: Lsn): void {
    this.#completeTo = upTo;
  }

  /** All there is, which the queue then no longer has. */
  take(): TakenBatch {
    const taken: TakenBatch = {
      entities: [...this.#entities.values()],
      truncated: [...this.#truncated],
      xids: [...this.#xids],
      position: this.#position,
      completeTo: this.#completeTo,
      firstPosition: this.#firstPosition,
      bytes: this.#bytes,
    };
    this.#entities = new Map();
    this.#truncated = new Set();
    this.#xids = new Set();
    this.#belongsTo = undefined;
    this.#firstPosition = undefined;
    this.#bytes = 0;
    this.#completeTo = undefined;
    return taken;
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
    this.#xids.add(transaction.xid);
    this.#position = positionOfCommit(transaction.commitLsn);
    this.#firstPosition ??= this.#position;
  }
}
