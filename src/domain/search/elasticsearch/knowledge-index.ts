import type { AppError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { nothingWritten, type WriteReport } from '../indexes/bulk-writer.ts';
import type { IndexDefinition } from '../indexes/index-definition.ts';
import type { IndexVersion } from '../indexes/index-document.ts';
import type { DocumentKey } from '../indexes/index-source.ts';
import { nothing, together, type WrittenDocuments } from '../indexes/index-writer.ts';
import { initializeIndices, type IndexState } from '../indexes/initialize-indices.ts';
import { SearchIndex } from '../indexes/search-index.ts';
import { workspaceKeys } from '../indexes/workspace-keys.ts';
import type { IndexedModel } from './definition.ts';
import { KnowledgeSource } from './knowledge-source.ts';

export interface KnowledgeIndexParts {
  readonly elasticsearch: Elasticsearch;
  readonly db: Queryable;
  readonly model: IndexedModel;
  /** Before the names of the index and its aliases; empty by default. */
  readonly prefix?: string;
}

export interface WriteOptions {
  /**
   * Under which what is read is written. By default that of the moment up to which the change stream has been followed, so
   * that what the stream writes later wins.
   */
  readonly version?: IndexVersion | number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReindexReport extends WriteReport {
  /** Documents that were in the index and are not in Postgres, and are in neither now. */
  readonly removed: number;
}

const reportOf = ({ written, stale, failed }: WrittenDocuments): WriteReport => ({
  written,
  stale: stale.map(({ id }) => id),
  failed: failed.map(({ id, error }): { id: string; error: AppError } => ({ id, error })),
});

/** The index `knowledge` of Elasticsearch: how it is made, and what is written to it. Documents are read from Postgres. */
export class KnowledgeIndex {
  readonly index: SearchIndex;
  readonly #source: KnowledgeSource;

  constructor({ elasticsearch, db, model, prefix = '' }: KnowledgeIndexParts) {
    this.#source = new KnowledgeSource(model, prefix);
    this.index = new SearchIndex({ source: this.#source, elasticsearch, db });
  }

  get definition(): IndexDefinition {
    return this.#source.definition;
  }

  /** As the function {@link initializeIndices}; call it at each start. */
  initializeIndices(): Promise<IndexState> {
    return initializeIndices(this.index.elasticsearch, this.definition);
  }

  /** As {@link updateIndex}, of one document. */
  indexKnowledge(workspaceId: string, documentId: string, options?: WriteOptions): Promise<WriteReport> {
    return this.updateIndex(workspaceId, [documentId], options);
  }

  /**
   * Writes documents as they are in Postgres now; those that are not there any more leave the index.
   * @throws AppError of Elasticsearch, and of Postgres.
   */
  async updateIndex(
    workspaceId: string,
    documentIds: readonly string[],
    { version, signal }: WriteOptions = {},
  ): Promise<WriteReport> {
    if (documentIds.length === 0) return nothingWritten;
    const keys = documentIds.map((id) => ({ workspaceId, id }));
    const [own, targets] = [await this.#version(version), await this.#targets()];
    return reportOf(await this.index.writer.update(targets, keys, own, signal));
  }

  /**
   * Takes documents out of the index. A tombstone with the version stays: no write of an older one brings the document back.
   * @throws AppError of Elasticsearch.
   */
  async deleteFromIndex(
    workspaceId: string,
    documentIds: readonly string[],
    version: IndexVersion | number,
    signal?: AbortSignal,
  ): Promise<WriteReport> {
    const burials = documentIds.map((id) => ({ workspaceId, id, document: null, version: String(version) }));
    return reportOf(await this.index.writer.write(await this.#targets(), burials, signal));
  }

  /**
   * Writes all documents of the workspace, then takes out those that Postgres does not have. Searches find the workspace
   * as it was or as it is, at no moment empty.
   * @throws AppError of Elasticsearch, and of Postgres.
   */
  async reindexWorkspace(
    workspaceId: string,
    { version, signal }: WriteOptions & { readonly onPage?: (documents: number) => void } = {},
  ): Promise<ReindexReport> {
    const targets = await this.#targets();
    let result = nothing;
    for (let after: DocumentKey | undefined; ;) {
      signal?.throwIfAborted();
      const own = await this.#version(version);
      const page = await this.#source.scanWorkspace(this.index.db, workspaceId, after);
      after = page.at(-1);
      if (after === undefined) break;
      const writes = page.map((document) => ({ ...document, document, version: own }));
      result = together(result, await this.index.writer.write(targets, writes, signal));
    }
    await this.refresh(signal);
    let removed = 0;
    for await (const page of workspaceKeys(this.index.elasticsearch, this.definition.names.live, workspaceId, signal)) {
      const own = await this.#version(version);
      const gone = await this.#source.absent(this.index.db, page);
      const burials = gone.map((key) => ({ ...key, document: null, version: own }));
      const buried = await this.index.writer.write(targets, burials, signal);
      removed += buried.written;
      result = together(result, { ...buried, written: 0 });
    }
    return { ...reportOf(result), removed };
  }

  /** Lets searches see at once what was written; they do within a second anyway. */
  async refresh(signal?: AbortSignal): Promise<void> {
    const { alias } = this.definition.names;
    await this.index.elasticsearch.call((client, options) => client.indices.refresh({ index: alias }, options), {
      signal,
    });
  }

  async #version(given: IndexVersion | number | undefined): Promise<IndexVersion> {
    return given === undefined ? this.index.states.publishedVersion(this.index.name) : String(given);
  }

  /** The live index, and the one that is being built. */
  async #targets(): Promise<readonly string[]> {
    const { alias, building } = this.definition.names;
    const targets = await this.index.targets();
    return targets.includes(building) ? [alias, building] : [alias];
  }
}
