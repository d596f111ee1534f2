import type { Lsn } from '../lib/replication/lsn.ts';
import type { PgoutputMessage, Relation } from '../lib/replication/pgoutput-message.ts';
import type { Tuple } from '../lib/replication/tuple.ts';
import type { ReadColumn, Watch } from '../lib/replication/watch.ts';
import type { CarriedRow, OpenTransaction, SinkQueue } from './sink-queue.ts';

/** A sink's queue, and what goes into it. */
export interface Subscriber {
  readonly queue: SinkQueue;
  readonly watches: readonly Watch[];
}

interface Route {
  readonly queue: SinkQueue;
  readonly watch: Watch;
}

const places = new WeakMap<Relation, ReadonlyMap<string, number>>();

const placesIn = (relation: Relation): ReadonlyMap<string, number> => {
  const known = places.get(relation);
  if (known) return known;
  const made = new Map(relation.columns.map(({ name }, place) => [name, place]));
  places.set(relation, made);
  return made;
};

const readerOf = (relation: Relation, row: Tuple): ReadColumn => {
  const placeOf = placesIn(relation);
  return (name) => row.at(placeOf.get(name) ?? -1);
};

/** A row with all its values; undefined when the stream left one out. */
const carriedOf = (relation: Relation, row: Tuple): CarriedRow | undefined =>
  row.isWhole ? { row: readerOf(relation, row.keep()), bytes: row.byteLength } : undefined;

const deleted: CarriedRow = { row: null, bytes: 0 };

/** Sorts the messages of the change stream into the queues of those who watch the tables. */
export class ChangeFeed {
  readonly #subscribers: readonly Subscriber[];
  readonly #routes = new Map<string, readonly Route[]>();
  /** As often as a row is told. */
  readonly #routesByRelation = new WeakMap<Relation, readonly Route[]>();
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
        // The old identity first: where it is the same, the new row replaces it.
        if (message.old) this.#gone(message.relation, message.old);
        this.#row(message.relation, message.row);
        return;
      case 'delete':
        this.#gone(message.relation, message.old);
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
    const read = readerOf(relation, row);
    let whole: CarriedRow | undefined;
    for (const { queue, watch } of this.#routesOf(relation)) {
      if (watch.carriesRows) whole ??= carriedOf(relation, row);
      const carried = watch.carriesRows ? whole : undefined;
      for (const entity of watch.entitiesOf(read)) queue.add(entity, this.#open(), carried);
    }
  }

  #gone(relation: Relation, old: Tuple): void {
    const read = readerOf(relation, old);
    for (const { queue, watch } of this.#routesOf(relation)) {
      const carried = watch.carriesRows ? deleted : undefined;
      for (const entity of watch.entitiesOf(read)) queue.add(entity, this.#open(), carried);
    }
  }

  #truncate(relation: Relation): void {
    for (const { queue, watch } of this.#routesOf(relation)) {
      for (const kind of watch.kinds) queue.truncate(kind, this.#open());
    }
  }

  #routesOf(relation: Relation): readonly Route[] {
    let found = this.#routesByRelation.get(relation);
    if (!found) {
      found = this.#routes.get(`${relation.schema}.${relation.name}`) ?? [];
      this.#routesByRelation.set(relation, found);
    }
    return found;
  }

  #open(): OpenTransaction {
    if (!this.#transaction) throw new Error('a change outside of a transaction');
    return this.#transaction;
  }
}
