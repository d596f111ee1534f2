import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../../lib/errors/app-error.ts';
import { retryAfterMsOf } from '../../../lib/errors/retry-after.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import type { Queryable } from '../../../lib/postgres/queryable.ts';
import { AtOnce } from '../../../lib/resilience/at-once.ts';
import { BulkSize } from './bulk-size.ts';
import { BulkWriter, type IndexOperation } from './bulk-writer.ts';
import { indexDocument, indexId, tombstone, type IndexVersion } from './index-document.ts';
import { keyText, type DocumentKey, type IndexSource, type SourceDocument } from './index-source.ts';

/** What is to stand under a key. */
export interface DocumentWrite extends DocumentKey {
  /** Null: it is gone. */
  readonly document: SourceDocument | null;
  readonly version: IndexVersion;
}

export interface FailedDocument extends DocumentKey {
  readonly error: AppError;
}

/** What became of documents; in several indices at once each counts once for each. */
export interface WrittenDocuments {
  readonly written: number;
  /** Newer versions are there already. */
  readonly stale: readonly DocumentKey[];
  /** Refused for what is in them; the others were written. */
  readonly failed: readonly FailedDocument[];
}

export interface IndexWriterParts {
  readonly source: IndexSource;
  readonly elasticsearch: Elasticsearch;
  readonly db: Queryable;
  /** Requests under way at once; 4 by default. */
  readonly lanes?: number;
}

/** Keys are read again as many as go into a request, and not fewer. */
const fewestKeys = 500;
/** How long requests that the server refuses for the moment are tried again before the whole is given up. */
const patienceMs = 20_000;
const longestPauseMs = 5_000;

export const nothing: WrittenDocuments = { written: 0, stale: [], failed: [] };

export const together = (a: WrittenDocuments, b: WrittenDocuments): WrittenDocuments => ({
  written: a.written + b.written,
  stale: b.stale.length === 0 ? a.stale : [...a.stale, ...b.stale],
  failed: b.failed.length === 0 ? a.failed : [...a.failed, ...b.failed],
});

/** The keys that none of the documents has; one without a workspace is content with its id. */
const missingFrom = (keys: readonly DocumentKey[], found: readonly DocumentKey[]): readonly DocumentKey[] => {
  // Each names one document, and all are there.
  if (found.length === keys.length && keys.every(({ workspaceId }) => workspaceId !== '')) return [];
  const names = new Set(found.map(keyText));
  const ids = new Set(found.map(({ id }) => id));
  return keys.filter((key) => (key.workspaceId === '' ? !ids.has(key.id) : !names.has(keyText(key))));
};

function* slices<T>(all: readonly T[], size: () => number): Generator<readonly T[]> {
  for (let from = 0; from < all.length;) {
    const slice = all.slice(from, from + size());
    from += slice.length;
    yield slice;
  }
}

/**
 * Writes documents of a source to indices, several requests at once, in requests as large as serves best. Every write has
 * a version, so that none replaces a newer one, in whichever order they arrive.
 */
export class IndexWriter {
  readonly source: IndexSource;
  readonly #db: Queryable;
  readonly #elasticsearch: Elasticsearch;
  readonly #lanes: number;
  /** All requests pass through here, of however many calls: how long one takes says something only at a steady load. */
  readonly #requests: AtOnce;
  readonly #size = new BulkSize();
  readonly #writers = new Map<string, BulkWriter>();

  constructor({ source, elasticsearch, db, lanes = 4 }: IndexWriterParts) {
    this.source = source;
    this.#db = db;
    this.#elasticsearch = elasticsearch;
    this.#lanes = lanes;
    this.#requests = new AtOnce(lanes);
  }

  /**
   * Reads documents again and writes them as they are now; those that are gone are buried. `aliases`: of the indices to write to.
   * @throws AppError of Elasticsearch or Postgres; whatever was written may be written again.
   */
  async update(
    aliases: readonly string[],
    keys: readonly DocumentKey[],
    version: IndexVersion,
    signal?: AbortSignal,
  ): Promise<WrittenDocuments> {
    return this.#inLanes(
      slices(keys, () => Math.max(fewestKeys, this.#size.current)),
      async (part) => {
        const found: DocumentKey[] = [];
        let result = nothing;
        for await (const page of this.source.read(this.#db, part)) {
          // Their keys alone: a page is forgotten once it is written.
          found.push(...page.map(({ workspaceId, id }) => ({ workspaceId, id })));
          const writes = page.map((document) => ({ ...document, document, version }));
          result = together(result, await this.#send(aliases, writes, signal));
        }
        // Under which workspace it was is not known of those without.
        const gone = missingFrom(part, found).filter(
          ({ workspaceId }) => workspaceId !== '' || !this.source.hasWorkspaces,
        );
        const burials = gone.map((key) => ({ ...key, document: null, version }));
        return together(result, await this.#send(aliases, burials, signal));
      },
    );
  }

  /** Writes documents as they are given. @throws as {@link update}. */
  write(aliases: readonly string[], writes: readonly DocumentWrite[], signal?: AbortSignal): Promise<WrittenDocuments> {
    return this.writeMade(aliases, writes, (write) => write, signal);
  }

  /** As {@link write}, of documents that are made when it is their turn; where `make` answers undefined nothing is written. */
  async writeMade<T>(
    aliases: readonly string[],
    items: readonly T[],
    make: (item: T) => DocumentWrite | undefined,
    signal?: AbortSignal,
  ): Promise<WrittenDocuments> {
    return this.#inLanes(
      slices(items, () => this.#size.current),
      (part) => {
        const writes = part.map(make).filter((write) => write !== undefined);
        return this.#send(aliases, writes, signal);
      },
    );
  }

  async #inLanes<T>(
    parts: Iterator<readonly T[]> & Iterable<readonly T[]>,
    work: (part: readonly T[]) => Promise<WrittenDocuments>,
  ): Promise<WrittenDocuments> {
    let result = nothing;
    const failure: { readonly error: unknown }[] = [];
    // One iterator for all lanes.
    const lane = async (): Promise<void> => {
      for (let next = parts.next(); !next.done && failure.length === 0; next = parts.next()) {
        try {
          const done = await work(next.value);
          // Read behind the wait: other lanes add to it meanwhile.
          result = together(result, done);
        } catch (error) {
          failure.push({ error });
        }
      }
    };
    await Promise.all(Array.from({ length: this.#lanes }, lane));
    if (failure[0]) throw failure[0].error;
    return result;
  }

  async #send(
    aliases: readonly string[],
    writes: readonly DocumentWrite[],
    signal: AbortSignal | undefined,
  ): Promise<WrittenDocuments> {
    let result = nothing;
    const keys = new Map(writes.map((write) => [indexId(write), write]));
    const operations = [...keys].map(([id, write]): IndexOperation => ({
      id,
      indexId: id,
      version: write.version,
      document: write.document ? indexDocument(write.document, write.version) : tombstone(write, write.version),
    }));
    for (const alias of aliases) {
      for (const part of slices(operations, () => this.#size.current)) {
        const report = await this.#requests.run(() => this.#sendPatiently(alias, part, signal));
        const keyOf = (id: string): DocumentKey => {
          const { workspaceId = '', id: own = id } = keys.get(id) ?? {};
          return { workspaceId, id: own };
        };
        result = together(result, {
          written: report.written,
          stale: report.stale.map(keyOf),
          failed: report.failed.map(({ id, error }) => ({ ...keyOf(id), error })),
        });
      }
    }
    return result;
  }

  /** What the server has no room for is sent again, in smaller requests and after a pause. */
  async #sendPatiently(
    alias: string,
    operations: readonly IndexOperation[],
    signal: AbortSignal | undefined,
  ): Promise<{
    readonly written: number;
    readonly stale: readonly string[];
    readonly failed: readonly { readonly id: string; readonly error: AppError }[];
  }> {
    const writer = this.#writers.get(alias) ?? new BulkWriter(this.#elasticsearch, alias);
    this.#writers.set(alias, writer);
    const startedAt = performance.now();
    let left = operations;
    let written = 0;
    const stale: string[] = [];
    const failed: { readonly id: string; readonly error: AppError }[] = [];
    for (let attempt = 0; ; attempt += 1) {
      let refusal: AppError | undefined;
      const sentAt = performance.now();
      try {
        const report = await writer.write(left, signal);
        written += report.written;
        stale.push(...report.stale);
        const passing = report.failed.filter(({ error }) => error.retryable);
        failed.push(...report.failed.filter(({ error }) => !error.retryable));
        refusal = passing[0]?.error;
        const again = new Set(passing.map(({ id }) => id));
        left = left.filter(({ id }) => again.has(id));
      } catch (error) {
        // Anything else may have been written or not: it is read again before it is sent again.
        if (!(error instanceof AppError) || error.code !== 'RATE_LIMITED') throw error;
        refusal = error;
      }
      if (!refusal) {
        this.#size.taken(operations.length, performance.now() - sentAt);
        return { written, stale, failed };
      }
      this.#size.refused();
      if (performance.now() - startedAt > patienceMs) throw refusal;
      const pauseMs = Math.max(retryAfterMsOf(refusal) ?? 0, Math.min(longestPauseMs, 100 * 2 ** attempt));
      await delay(pauseMs * (0.75 + Math.random() / 2), undefined, { signal });
    }
  }
}
