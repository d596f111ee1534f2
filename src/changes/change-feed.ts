import type { Lsn } from '../lib/replication/lsn.ts';
import type { PgoutputMessage, Relation, Tuple } from '../lib/replication/pgoutput-message.ts';
import type { ReadColumn, Watch } from './change-batch.ts';
import type { OpenTransaction, SinkQueue } from './sink-queue.ts';

/** A sink's queue, and what goes into it. */
export interface Subscriber {
  readonly queue: SinkQueue;
  readonly watches: readonly Watch[];
}

interface Route {
  readonly queue: SinkQueue;
  readonly watch: Watch;
}

const readerOf = ({ columns }: Relation, row: Tuple): ReadColumn => {
  return (name) => {
    const value = row[columns.findIndex((column) => column.name === name)];
    return typeof value === 'symbol' ? undefined : value;
  };
};

/** Sorts the messages of the change stream into the queues of those who watch the tables. */
export class ChangeFeed {
  readonly #subscribers: readonly Subscriber[];
  readonly #routes = new Map<string, readonly Route[]>();
  #transaction: OpenTransaction | undefined;

  constructor(subscribers: readonly Subscriber[]) {
    this.#subscribers = subscribers;
    for (const { queue, watches } of subscribers) {
      for (const watch of watches) {
        const name = `${watch.schema}.${watch.table}`;
        this.#routes.set(name, [...(this.#routes.get(name) ?? []), { queue, watch }]);
      }
    }
  }

  take(message: PgoutputMessage): void {
    switch (message.kind) {
      case 'begin':
        this.#transaction = { xid: message.xid, commitLsn: message.commitLsn };
        return;
      case 'commit':
        this.#transaction = undefined;
        this.#completeAll(message.endLsn);
        return;
      case 'insert':
        this.#row(message.relation, message.row);
        return;
      case 'update':
        this.#row(message.relation, message.row);
        if (message.old) this.#row(message.relation, message.old);
        return;
      case 'delete':
        this.#row(message.relation, message.old);
        return;
      case 'truncate':
        for (const relation of message.relations) this.#truncate(relation);
        return;
      case 'relation':
      case 'message':
        return;
      default:
        message satisfies never;
    }
  }

  /** The server has nothing up to this position that was not told. */
  idle(upTo: Lsn): void {
    if (this.#transaction === undefined) this.#completeAll(upTo);
  }

  #completeAll(upTo: Lsn): void {
    for (const { queue } of this.#subscribers) queue.complete(upTo);
  }

  #row(relation: Relation, row: Tuple): void {
    const routes = this.#routesOf(relation);
    if (routes.length === 0) return;
    const read = readerOf(relation, row);
    for (const { queue, watch } of routes) {
      for (const entity of watch.entitiesOf(read)) queue.add(entity, this.#open());
    }
  }

  #truncate(relation: Relation): void {
    for (const { queue, watch } of this.#routesOf(relation)) {
      for (const kind of watch.kinds) queue.truncate(kind, this.#open());
    }
  }

  #routesOf({ schema, name }: Relation): readonly Route[] {
    return this.#routes.get(`${schema}.${name}`) ?? [];
  }

  #open(): OpenTransaction {
    if (!this.#transaction) throw new Error('a change outside of a transaction');
    return this.#transaction;
  }
}
