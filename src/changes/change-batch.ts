import type { Lsn } from '../lib/replication/lsn.ts';
import type { ChangedEntity, ReadColumn, Watch } from '../lib/replication/watch.ts';

/** An entity as a transaction left it. */
export interface RowImage {
  /** Null: it was deleted. */
  readonly row: ReadColumn | null;
  readonly version: bigint;
}

export interface QueuedEntity extends ChangedEntity {
  /** What the stream carries of it, for who watches a table with `carriesRows`; undefined: it has to be read again. */
  readonly image?: RowImage | undefined;
}

/** Changed entities of one or several transactions, each once, however often it was changed. */
export interface ChangeBatch {
  readonly entities: readonly QueuedEntity[];
  /** Of these kinds a table was truncated: nothing that was known of them holds any more. */
  readonly truncated: readonly string[];
  /** Of the transactions, as the stream tells them (32 bits). Whoever reads again sees them all. */
  readonly xids: readonly number[];
  /** Of the last of them: what is read again is of this version, or newer. */
  readonly position: Lsn;
}

/** What a batch is applied as. */
export interface AppliedBatch extends ChangeBatch {
  /** Under which what is read again is to be written: see `versionOf`. */
  readonly version: bigint;
}

/** Something that follows changes: a search index, caches, an event bus. */
export interface Sink {
  readonly name: string;
  readonly watches: readonly Watch[];
  /**
   * How many batches it may be given at once; 1 by default. More than that only where an older batch that ends after a newer
   * one leaves what the newer one wrote, by the versions. Batches that share a transaction, and so a version, never overlap.
   */
  readonly batchesAtOnce?: number;
  /**
   * Takes a batch; resolves once it is durable there. Batches begin one after another in the order of commits, and the last
   * ones come again after a crash. It may reject as often as it likes: the batch is offered again.
   */
  apply(batch: AppliedBatch, signal: AbortSignal): Promise<void>;
  /**
   * It has not followed before, or changes were lost on the way to it (the slot was removed, or its server replaced): all that it
   * holds has to be read again. Called before it is given what came since; called again when this rejects.
   */
  startOver(signal: AbortSignal): Promise<void>;
  /** A stream begins, and it is not to start over. When this throws the stream begins once more. */
  begin?(): Promise<void>;
  /** It takes batches again after it refused some for a while. What this throws is only logged. */
  recovered?(): Promise<void>;
}
