import { AppError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { IndexVersion } from './index-document.ts';
import { isOfDefinition } from './index-definition.ts';
import type { DocumentKey, IndexSource } from './index-source.ts';
import { IndexStates, type IndexRecord } from './index-states.ts';
import { IndexWriter, nothing, together, type WrittenDocuments } from './index-writer.ts';
import { indexedKeys } from './indexed-documents.ts';
import { indicesBehind, liveIndex, searchOnly } from './initialize-indices.ts';

export interface SearchIndexParts {
  readonly source: IndexSource;
  readonly elasticsearch: Elasticsearch;
  /** The primary: what is read again must be what is committed. */
  readonly db: Queryable;
  readonly lanes?: number;
}

/** One index of Elasticsearch, the documents of Postgres it shows, and what Postgres knows of it. */
export class SearchIndex {
  readonly source: IndexSource;
  readonly elasticsearch: Elasticsearch;
  readonly states: IndexStates;
  readonly writer: IndexWriter;
  readonly db: Queryable;

  constructor(parts: SearchIndexParts) {
    this.source = parts.source;
    this.elasticsearch = parts.elasticsearch;
    this.db = parts.db;
    this.states = new IndexStates(parts.db);
    this.writer = new IndexWriter(parts);
  }

  get name(): string {
    return this.source.name;
  }

  /** The aliases that changes go to. One of another definition would not take the documents of this one. */
  async targets(): Promise<readonly string[]> {
    const record = await this.states.read(this.name);
    return record ? this.targetsOf(record) : [];
  }

  targetsOf({ live, building }: IndexRecord): readonly string[] {
    const { definition } = this.source;
    return [
      ...(live !== null && isOfDefinition(live, definition) ? [definition.names.alias] : []),
      ...(building !== null && isOfDefinition(building, definition) ? [definition.names.building] : []),
    ];
  }

  /**
   * Compares what Postgres knows with what Elasticsearch has, after a write found no index: a swap that was not noted any
   * more is noted; an index that somebody deleted is known as missing, and has to be built anew. The live one is, and it
   * alone, the one that is searched.
   */
  async reconcile(): Promise<Reconciled> {
    const record = await this.states.read(this.name);
    if (!record) return 'missing';
    const { alias, building } = this.source.definition.names;
    const [live, beside] = [await liveIndex(this.elasticsearch, alias), await liveIndex(this.elasticsearch, building)];
    if (live !== null) await this.#searchOnly(live);
    if (record.building !== null && live === record.building) {
      await this.states.endBuilding(this.name, record.building);
      return 'swapped';
    }
    const isLost = record.building !== null && beside !== record.building;
    if (isLost) await this.states.abandonBuilding(this.name);
    if (live !== record.live) await this.states.setLive(this.name, live);
    return isLost || live === null ? 'missing' : 'as known';
  }

  /** Documents that show rows of another table are written again, as they are now. */
  async updateShowing(
    targets: readonly string[],
    kind: string,
    ids: readonly string[],
    version: IndexVersion,
    signal: AbortSignal,
  ): Promise<WrittenDocuments> {
    let result = nothing;
    for (let after: DocumentKey | undefined; ;) {
      const keys = await this.source.showing(this.db, kind, ids, after);
      after = keys.at(-1);
      if (after === undefined) return result;
      signal.throwIfAborted();
      result = together(result, await this.writer.update(targets, keys, version, signal));
    }
  }

  /** Everything in an index may be wrong: it is written as it is now, and what Postgres does not have is buried. */
  async renew(target: string, version: IndexVersion, signal: AbortSignal): Promise<WrittenDocuments> {
    let result = await this.#sweep(target, version, signal);
    for (let after: DocumentKey | undefined; ;) {
      const page = await this.source.scan(this.db, after);
      after = page.at(-1);
      if (after === undefined) return result;
      const writes = page.map(({ workspaceId, id, ...rest }) => ({
        workspaceId,
        id,
        document: { workspaceId, id, ...rest },
        version,
      }));
      result = together(result, await this.writer.write([target], writes, signal));
    }
  }

  async #searchOnly(live: string): Promise<void> {
    const { elasticsearch, source } = this;
    const { live: searched } = source.definition.names;
    const behind = await indicesBehind(elasticsearch, searched);
    if (behind.length === 1 && behind[0] === live) return;
    const actions = [...(await searchOnly(elasticsearch, searched, live))];
    await elasticsearch.call((client, options) => client.indices.updateAliases({ actions }, options));
  }

  async #sweep(target: string, version: IndexVersion, signal: AbortSignal): Promise<WrittenDocuments> {
    let result = nothing;
    for await (const page of indexedKeys(this.elasticsearch, target, signal)) {
      const gone = await this.source.absent(this.db, page);
      const burials = gone.map((key) => ({ ...key, document: null, version }));
      result = together(result, await this.writer.write([target], burials, signal));
    }
    return result;
  }
}

/** What {@link SearchIndex.reconcile} found. */
export type Reconciled = 'as known' | 'swapped' | 'missing';

/** Whether Elasticsearch says that an index is not there. */
export const isMissingIndex = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'SERVICE_UNAVAILABLE' && error.cause instanceof Error
    ? /index_not_found_exception|alias_not_found_exception/.test(error.cause.message)
    : false;
