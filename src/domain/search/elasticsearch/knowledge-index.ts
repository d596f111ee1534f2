import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { addReports, BulkWriter, nothingWritten, type IndexOperation, type WriteReport } from './bulk-writer.ts';
import { defineKnowledgeIndex, type IndexDefinition, type IndexedModel } from './definition.ts';
import { indexDocument, indexId, tombstone, type IndexVersion } from './index-document.ts';
import { initializeIndices, type IndexState } from './initialize-indices.ts';
import { absentDocuments, readDocuments, type DocumentPage, type StoredDocument } from './read-documents.ts';

export interface KnowledgeIndexParts {
  readonly elasticsearch: Elasticsearch;
  readonly db: Queryable;
  readonly model: IndexedModel;
  /** Before the names of the index and its aliases; empty by default. */
  readonly prefix?: string;
}

export interface WriteOptions {
  /**
   * Under which what is read is written; at most one content may have it. By default a document's own version, which
   * grows with each change of it.
   */
  readonly version?: IndexVersion | number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReindexReport extends WriteReport {
  /** Documents that were in the index and are not in Postgres, and are in neither now. */
  readonly removed: number;
}

const pageSize = 1_000;
const indexed = z.object({
  docs: z.array(z.object({ _source: z.object({ id: z.string(), version: z.coerce.string() }).optional() })),
});
const ids = z.object({ hits: z.object({ hits: z.array(z.object({ _source: z.object({ id: z.string() }) })) }) });

/** The index `knowledge` of Elasticsearch: how it is made, and what is written to it. Documents are read from Postgres. */
export class KnowledgeIndex {
  readonly definition: IndexDefinition;
  readonly #elasticsearch: Elasticsearch;
  readonly #db: Queryable;
  readonly #model: IndexedModel;
  readonly #writer: BulkWriter;

  constructor({ elasticsearch, db, model, prefix = '' }: KnowledgeIndexParts) {
    this.definition = defineKnowledgeIndex(model, prefix);
    this.#elasticsearch = elasticsearch;
    this.#db = db;
    this.#model = model;
    this.#writer = new BulkWriter(elasticsearch, this.definition.names.alias);
  }

  /** As the function {@link initializeIndices}; call it at each start. */
  initializeIndices(): Promise<IndexState> {
    return initializeIndices(this.#elasticsearch, this.definition);
  }

  /** As {@link updateIndex}, of one document. */
  indexKnowledge(workspaceId: string, documentId: string, options?: WriteOptions): Promise<WriteReport> {
    return this.updateIndex(workspaceId, [documentId], options);
  }

  /**
   * Writes documents as they are in Postgres now; those that are not there any more leave the index.
   * @throws AppError of {@link BulkWriter.write}, and of Postgres.
   */
  async updateIndex(
    workspaceId: string,
    documentIds: readonly string[],
    options: WriteOptions = {},
  ): Promise<WriteReport> {
    let report = nothingWritten;
    const found = new Set<string>();
    for await (const page of this.#pages({ workspaceId, ids: documentIds })) {
      for (const { id } of page) found.add(id);
      report = addReports(report, await this.#write(page, options));
    }
    const gone = documentIds.filter((id) => !found.has(id));
    return addReports(report, await this.#bury(workspaceId, gone, options));
  }

  /**
   * Takes documents out of the index. A tombstone with the version stays, which must be higher than that of every write
   * before: none that comes late brings the document back.
   * @throws AppError of {@link BulkWriter.write}.
   */
  deleteFromIndex(
    workspaceId: string,
    documentIds: readonly string[],
    version: IndexVersion | number,
    signal?: AbortSignal,
  ): Promise<WriteReport> {
    return this.#bury(workspaceId, documentIds, { version, signal });
  }

  /**
   * Writes all documents of the workspace, then takes out those that Postgres does not have. Searches find the workspace
   * as it was or as it is, at no moment empty.
   * @throws AppError of {@link BulkWriter.write}, and of Postgres.
   */
  async reindexWorkspace(workspaceId: string, options: WriteOptions = {}): Promise<ReindexReport> {
    let report = nothingWritten;
    for await (const page of this.#pages({ workspaceId }))
      report = addReports(report, await this.#write(page, options));
    await this.refresh(options.signal);
    let removed = 0;
    for await (const page of this.#indexedIds(workspaceId, options.signal)) {
      const buried = await this.#bury(workspaceId, await absentDocuments(this.#db, workspaceId, page), options);
      removed += buried.written;
      report = addReports(report, { ...buried, written: 0 });
    }
    return { ...report, removed };
  }

  /** Lets searches see at once what was written; they do within a second anyway. */
  async refresh(signal?: AbortSignal): Promise<void> {
    const { alias } = this.definition.names;
    await this.#elasticsearch.call((client, options) => client.indices.refresh({ index: alias }, options), { signal });
  }

  async *#pages(from: DocumentPage): AsyncGenerator<readonly StoredDocument[]> {
    let after: string | undefined;
    for (;;) {
      const page = await readDocuments(this.#db, this.#model, { ...from, after });
      after = page.at(-1)?.id;
      if (after === undefined) return;
      yield page;
    }
  }

  #write(documents: readonly StoredDocument[], { version, signal }: WriteOptions): Promise<WriteReport> {
    const operations = documents.map((document): IndexOperation => {
      const own = String(version ?? document.version);
      const { id, workspace_id: workspaceId } = document;
      return { id, indexId: indexId(workspaceId, id), version: own, document: indexDocument(document, own) };
    });
    return this.#writer.write(operations, signal);
  }

  /** Without a version: one above what the index has, where it has something. */
  async #bury(
    workspaceId: string,
    documentIds: readonly string[],
    { version, signal }: WriteOptions,
  ): Promise<WriteReport> {
    if (documentIds.length === 0) return nothingWritten;
    const versions =
      version === undefined
        ? await this.#versionsAbove(workspaceId, documentIds, signal)
        : documentIds.map((id): [string, string] => [id, String(version)]);
    const operations = versions.map(([id, own]): IndexOperation => ({
      id,
      indexId: indexId(workspaceId, id),
      version: own,
      document: tombstone(workspaceId, id, own),
    }));
    return this.#writer.write(operations, signal);
  }

  async #versionsAbove(
    workspaceId: string,
    documentIds: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<[string, string][]> {
    const answer = await this.#elasticsearch.call(
      (client, options) =>
        client.mget(
          {
            index: this.definition.names.alias,
            ids: documentIds.map((id) => indexId(workspaceId, id)),
            _source: ['id', 'version'],
          },
          options,
        ),
      { signal },
    );
    return indexed
      .parse(answer)
      .docs.flatMap(({ _source: source }) => (source ? [[source.id, String(BigInt(source.version) + 1n)]] : []));
  }

  async *#indexedIds(workspaceId: string, signal: AbortSignal | undefined): AsyncGenerator<readonly string[]> {
    let after: string | undefined;
    for (;;) {
      const answer = await this.#elasticsearch.call(
        (client, options) =>
          client.search(
            {
              index: this.definition.names.live,
              size: pageSize,
              query: { bool: { filter: [{ term: { workspace_id: workspaceId } }] } },
              sort: [{ id: 'asc' }],
              _source: ['id'],
              ...(after === undefined ? {} : { search_after: [after] }),
            },
            options,
          ),
        { signal },
      );
      const page = ids.parse(answer).hits.hits.map(({ _source: { id } }) => id);
      after = page.at(-1);
      if (after === undefined) return;
      yield page;
    }
  }
}
