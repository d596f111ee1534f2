import type { Log } from '../../lib/log/create-log.ts';
import type { Watch } from '../../lib/replication/watch.ts';
import { isOfDefinition } from '../../domain/search/indexes/index-definition.ts';
import { sinkOf } from '../../domain/search/indexes/index-states.ts';
import type { DocumentKey } from '../../domain/search/indexes/index-source.ts';
import {
  nothing,
  together,
  type DocumentWrite,
  type FailedDocument,
  type WrittenDocuments,
} from '../../domain/search/indexes/index-writer.ts';
import { isMissingIndex, type SearchIndex } from '../../domain/search/indexes/search-index.ts';
import type { AppliedBatch, QueuedEntity, Sink } from '../change-batch.ts';

export interface SearchSinkParts {
  readonly index: SearchIndex;
  readonly log: Log;
  /** Sees to it that the index is built anew, some time soon; as often as it likes. */
  readonly requestRebuild: (index: string, reason: string) => Promise<void>;
  /** Has the index compared with its tables some time soon. */
  readonly requestVerification: (index: string) => Promise<void>;
  /** Keeps documents that Elasticsearch refused, to be tried again; resolves when that is durable. */
  readonly keepFailed: (index: string, failed: readonly FailedDocument[]) => Promise<void>;
  /** Told after documents of these workspaces were written, which searches do not see yet; empty text: of any. */
  readonly written?: ((workspaceIds: ReadonlySet<string>) => void) | undefined;
}

const addTo = (lists: Map<string, string[]>, name: string, value: string): void => {
  const list = lists.get(name);
  if (list) list.push(value);
  else lists.set(name, [value]);
};

/** Keeps one index equal to the tables that it shows. */
export class SearchSink implements Sink {
  readonly name: string;
  readonly watches: readonly Watch[];
  /** Every write has its version; while one batch is read again the one before is still being written. */
  readonly batchesAtOnce = 2;
  readonly #parts: SearchSinkParts;

  constructor(parts: SearchSinkParts) {
    this.#parts = parts;
    this.name = sinkOf(parts.index.name);
    this.watches = parts.index.source.watches;
  }

  async apply(batch: AppliedBatch, signal: AbortSignal): Promise<void> {
    const { index } = this.#parts;
    // Read after the batch was taken: whatever began to be built before its changes is among them.
    const targets = await index.targets();
    if (targets.length === 0) return;
    try {
      const { failed } = await this.#write(targets, batch, signal);
      if (failed.length > 0) await this.#keep(failed);
      this.#tellWritten(batch);
    } catch (error) {
      if (isMissingIndex(error)) await this.#reconcile();
      throw error;
    }
  }

  /** The tables may have changed unseen: what is live is not searched any more, and is built anew. */
  async startOver(): Promise<void> {
    const { index, requestRebuild } = this.#parts;
    const known = await index.states.read(index.name);
    const reason = known?.live == null ? 'it was not built yet' : 'changes may have been missed';
    await index.states.suspect(index.name, reason);
    await requestRebuild(index.name, reason);
  }

  /** One that was never finished, or is of a definition from before, is built. */
  async begin(): Promise<void> {
    const { index, log, requestRebuild } = this.#parts;
    const live = (await index.states.read(index.name))?.live ?? null;
    if (live !== null && isOfDefinition(live, index.source.definition)) return;
    const reason = live === null ? 'it was not built yet' : 'its definition is another one';
    log.warn({ event: 'search.index-to-be-rebuilt', index: index.name, live, reason });
    await requestRebuild(index.name, reason);
  }

  /** The server was away, or somebody else has its place: it may have lost what it had. */
  async recovered(): Promise<void> {
    await this.#parts.requestVerification(this.#parts.index.name);
  }

  async #write(targets: readonly string[], batch: AppliedBatch, signal: AbortSignal): Promise<WrittenDocuments> {
    const { index } = this.#parts;
    const version = String(batch.version);
    let result = nothing;
    if (batch.truncated.length > 0) {
      for (const target of targets) result = together(result, await index.renew(target, version, signal));
    }
    const keys: DocumentKey[] = [];
    const carried: QueuedEntity[] = [];
    const shown = new Map<string, string[]>();
    for (const entity of batch.entities) {
      if (entity.kind !== index.name) addTo(shown, entity.kind, entity.id);
      else if (entity.image) carried.push(entity);
      else keys.push({ workspaceId: entity.workspaceId, id: entity.id });
    }
    for (const [kind, ids] of shown) {
      result = together(result, await index.updateShowing(targets, kind, ids, version, signal));
    }
    const make = (entity: QueuedEntity): DocumentWrite | undefined => {
      const write = this.#writeOf(entity);
      if (!write) keys.push({ workspaceId: entity.workspaceId, id: entity.id });
      return write;
    };
    result = together(result, await index.writer.writeMade(targets, carried, make, signal));
    return together(result, await index.writer.update(targets, keys, version, signal));
  }

  #tellWritten({ entities, truncated }: AppliedBatch): void {
    const { index, written } = this.#parts;
    const places = entities.map(({ kind, workspaceId }) => (kind === index.name ? workspaceId : ''));
    written?.(new Set(truncated.length > 0 ? [...places, ''] : places));
  }

  /** Undefined: what the stream carries does not tell all, and the document has to be read again. */
  #writeOf({ workspaceId, id, image }: QueuedEntity): DocumentWrite | undefined {
    const { source } = this.#parts.index;
    const document = image && source.documentOf ? image.row && source.documentOf(image.row) : undefined;
    return image && document !== undefined ? { workspaceId, id, document, version: String(image.version) } : undefined;
  }

  async #keep(failed: readonly FailedDocument[]): Promise<void> {
    const { index, log, keepFailed } = this.#parts;
    log.warn({ event: 'search.documents-refused', index: index.name, documents: failed.length, err: failed[0]?.error });
    await keepFailed(index.name, failed);
  }

  async #reconcile(): Promise<void> {
    const { index, log, requestRebuild } = this.#parts;
    const found = await index.reconcile();
    log.warn({ event: 'search.index-missing', index: index.name, found });
    if (found === 'missing') await requestRebuild(index.name, 'the index was deleted');
  }
}
