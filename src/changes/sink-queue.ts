import type { Lsn } from '../lib/replication/lsn.ts';
import type { ChangeBatch, ChangedEntity } from './change-batch.ts';

/** The transaction that changes are of. */
export interface OpenTransaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
}

export interface TakenBatch extends ChangeBatch {
  /** Everything up to here is in this batch or in one before; undefined when no transaction has ended in it. */
  readonly completeTo: Lsn | undefined;
}

const nameOf = ({ kind, workspaceId, id }: ChangedEntity): string => JSON.stringify([kind, workspaceId, id]);

/**
 * What a sink has yet to take, in the order of commits: an entity stands in it once. It may be taken in the middle of a
 * transaction, so that one of any size passes through a queue of bounded size.
 */
export class SinkQueue {
  #entities = new Map<string, ChangedEntity>();
  #truncated = new Set<string>();
  #xids = new Set<number>();
  #committedAt: Lsn = 0n;
  #completeTo: Lsn | undefined;

  /** How many entities are waiting. */
  get size(): number {
    return this.#entities.size;
  }

  /** Nothing to take, not even a position. */
  get isEmpty(): boolean {
    return this.#entities.size === 0 && this.#truncated.size === 0 && this.#completeTo === undefined;
  }

  add(entity: ChangedEntity, transaction: OpenTransaction): void {
    this.#entities.set(nameOf(entity), entity);
    this.#belong(transaction);
  }

  /** What was waiting of the kind need not be read any more on its own, but the kind as a whole. */
  truncate(kind: string, transaction: OpenTransaction): void {
    this.#truncated.add(kind);
    for (const [name, entity] of this.#entities) if (entity.kind === kind) this.#entities.delete(name);
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
      committedAt: this.#committedAt,
      completeTo: this.#completeTo,
    };
    this.#entities = new Map();
    this.#truncated = new Set();
    this.#xids = new Set();
    this.#completeTo = undefined;
    return taken;
  }

  #belong({ xid, commitLsn }: OpenTransaction): void {
    this.#xids.add(xid);
    this.#committedAt = commitLsn;
  }
}
