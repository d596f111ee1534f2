import type { DocumentKey } from '../../domain/search/indexes/index-source.ts';
import type { TableSource } from '../../domain/search/indexes/table-source.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Watch } from '../../lib/replication/watch.ts';
import type { AppliedBatch, Sink } from '../change-batch.ts';

export interface EmbeddingSinkParts {
  readonly source: TableSource;
  readonly db: Queryable;
  /** Accepts a job for each row; one that waits already takes the place of a second. */
  readonly enqueue: (keys: readonly DocumentKey[]) => Promise<void>;
}

const jobsAtOnce = 1_000;

/** Has the rows of an app's table embedded whenever they change. */
export class EmbeddingSink implements Sink {
  readonly name: string;
  readonly watches: readonly Watch[];
  readonly #parts: EmbeddingSinkParts;

  constructor(parts: EmbeddingSinkParts) {
    this.#parts = parts;
    this.name = `embeddings.${parts.source.name}`;
    // The rows themselves, and nothing that is joined to them.
    this.watches = parts.source.watches.slice(0, 1);
  }

  async apply({ entities, truncated }: AppliedBatch): Promise<void> {
    if (truncated.length > 0) await this.#removeLeft();
    for (let from = 0; from < entities.length; from += jobsAtOnce) {
      const part = entities.slice(from, from + jobsAtOnce);
      await this.#parts.enqueue(part.map(({ workspaceId, id }) => ({ workspaceId, id })));
    }
  }

  async startOver(signal: AbortSignal): Promise<void> {
    const { source, db, enqueue } = this.#parts;
    for (let after: DocumentKey | undefined; ;) {
      signal.throwIfAborted();
      const page = await source.scan(db, after);
      after = page.at(-1);
      if (after === undefined) break;
      await enqueue(page.map(({ workspaceId, id }) => ({ workspaceId, id })));
    }
    await this.#removeLeft();
  }

  /** A job for a row that is gone removes its embeddings. */
  async #removeLeft(): Promise<void> {
    const { source, db, enqueue } = this.#parts;
    const left = await source.embeddedWithoutRow(db);
    for (let from = 0; from < left.length; from += jobsAtOnce) await enqueue(left.slice(from, from + jobsAtOnce));
  }
}
