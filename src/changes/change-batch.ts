import type { Lsn } from '../lib/replication/lsn.ts';

/** Something that a change concerns, such as a document: what a sink reads again and writes. */
export interface ChangedEntity {
  /** `knowledge`, or the name of an app's own definition. */
  readonly kind: string;
  /** Empty where there are no workspaces. */
  readonly workspaceId: string;
  readonly id: string;
}

/** Changed entities of one or several transactions, each once, however often it was changed. */
export interface ChangeBatch {
  readonly entities: readonly ChangedEntity[];
  /** Of these kinds a table was truncated: nothing that was known of them holds any more. */
  readonly truncated: readonly string[];
  /** Of the transactions, as the stream tells them (32 bits). Whoever reads again must see them all. */
  readonly xids: readonly number[];
  /** Where the last of them was committed: what is read again once it is visible is of this position, or newer. */
  readonly committedAt: Lsn;
}

/** Something that follows changes: the search index, caches, an event bus. */
export interface Sink {
  readonly name: string;
  readonly watches: readonly Watch[];
  /**
   * Takes a batch; resolves once it is durable there. Batches come one after another in the order of commits, and the last
   * ones again after a crash. It may reject as often as it likes: the batch is offered again.
   */
  apply(batch: ChangeBatch, signal: AbortSignal): Promise<void>;
  /**
   * It has not followed before, or changes were lost on the way to it (the slot was removed, or its server replaced): all that it
   * holds has to be read again. Called before it is given what came since; called again when this rejects.
   */
  startOver(signal: AbortSignal): Promise<void>;
}

/** Values of a changed row by the names of its columns; undefined for one that the stream does not carry. */
export type ReadColumn = (name: string) => string | null | undefined;

/** What a sink wants to hear of a table. */
export interface Watch {
  readonly schema: string;
  readonly table: string;
  /** What a changed row concerns. Of an update both the new row and, when its identity changed, the old one are asked for. */
  entitiesOf(row: ReadColumn): readonly ChangedEntity[];
  /** What concerns everything, when the table is truncated. */
  readonly kinds: readonly string[];
}
