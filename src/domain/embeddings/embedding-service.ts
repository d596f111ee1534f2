import { AppError } from '../../lib/errors/app-error.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { chunkDocument, contentHash } from './chunk-document.ts';
import type { Embedder, EmbedOptions } from './embedder.ts';
import { EmbeddingRepository } from './embedding-repository.ts';
import { RecentQueryVectors, type QueryVectors } from './query-vectors.ts';
import { signBits } from './sign-bits.ts';
import { StaleDocuments, type StaleDocument, type StaleScope } from './stale-documents.ts';
import type {
  ChunkPlace,
  EmbeddableDocument,
  EmbeddingDatabase,
  EntityKey,
  NearestChunk,
  RefreshResult,
  StorableVector,
} from './types.ts';
import { normalise } from './vector-text.ts';

interface HashedChunk extends ChunkPlace {
  readonly text: string;
}

/** Chunks may be deleted by others between asking what is stored and storing: then it is asked once more. */
const storeAttempts = 3;
/** Vectors of an app's own rows are reached through their index alone. */
const noWorkspace = '00000000-0000-0000-0000-000000000000';

/** Keeps the embeddings of documents true, and searches them. */
export class EmbeddingService {
  readonly #database: EmbeddingDatabase;
  readonly #embedder: Embedder;
  readonly #log: Log;
  readonly #repository: EmbeddingRepository;
  readonly #queries: QueryVectors;
  readonly #stale: StaleDocuments;
  #prepared: Promise<void> | undefined;

  constructor(
    database: EmbeddingDatabase,
    embedder: Embedder,
    log: Log,
    queries: QueryVectors = new RecentQueryVectors(),
  ) {
    this.#database = database;
    this.#embedder = embedder;
    this.#log = log;
    this.#repository = new EmbeddingRepository(embedder.model, embedder.dimensions);
    this.#queries = queries;
    this.#stale = new StaleDocuments(database, embedder.model, embedder.dimensions);
  }

  /** The model whose vectors are written and searched. */
  get model(): string {
    return this.#embedder.model;
  }

  get dimensions(): number {
    return this.#embedder.dimensions;
  }

  /**
   * Makes the stored embeddings those of this version of the document: chunks whose text is embedded already are kept,
   * the others are embedded, stale ones are removed, all in one transaction. When the document was deleted, or a newer
   * version was stored meanwhile, nothing is written.
   * @throws AppError of the embedder (see {@link Embedder.embed}), or of Postgres.
   */
  async refresh(document: EmbeddableDocument, { signal }: EmbedOptions = {}): Promise<RefreshResult> {
    const entity = { workspaceId: document.workspaceId, entityType: 'knowledge', entityId: document.id };
    return this.#refresh(entity, document.version, chunkDocument(document), signal);
  }

  /**
   * As {@link refresh}, of a text of an app's own, whose rows nobody holds meanwhile; `version` grows with its changes.
   * @throws as {@link refresh}.
   */
  refreshEntity(
    {
      entityType,
      entityId,
      text,
      version,
    }: { readonly entityType: string; readonly entityId: string; readonly text: string; readonly version: number },
    { signal }: EmbedOptions = {},
  ): Promise<RefreshResult> {
    const chunks = chunkDocument({ title: '', excerpt: '', content: text });
    return this.#refresh({ workspaceId: noWorkspace, entityType, entityId }, version, chunks, signal);
  }

  async #refresh(
    entity: EntityKey,
    version: number,
    pieces: ReturnType<typeof chunkDocument>,
    signal: AbortSignal | undefined,
  ): Promise<RefreshResult> {
    const chunks = pieces.map(({ index, start, end, text }): HashedChunk => ({
      index,
      start,
      end,
      text,
      hash: this.#hashOf(text),
    }));
    await this.#prepareModel();
    for (let attempt = 1; attempt <= storeAttempts; attempt += 1) {
      const { fresh, embedded } = await this.#embedMissing(entity, chunks, signal);
      if (await this.#store(entity, version, chunks, fresh)) {
        return { chunks: chunks.length, embedded, reused: chunks.length - embedded };
      }
    }
    throw new AppError(
      'DATA_CONSISTENCY_ERROR',
      'chunks were removed while they were being reused',
      {},
      { retryable: true },
    );
  }

  /**
   * The vector of a search's text, of length 1. Remembered: see {@link QueryVectors}.
   * @throws AppError of the embedder; a search then goes on without.
   */
  async embedQuery(text: string, { signal }: EmbedOptions = {}): Promise<Float32Array> {
    const storable = text.toWellFormed().replaceAll('\0', ' ');
    return this.#queries.of(storable, this.#embedder, async () => {
      const [vector] = await this.#embedder.embed([storable], { signal, urgent: true });
      return normalise(this.#checked(vector));
    });
  }

  /** The chunks nearest to a vector of {@link model}, best first, of one workspace. */
  nearestChunks(query: {
    readonly workspaceId: string;
    readonly vector: Float32Array;
    readonly limit: number;
    readonly among?: readonly string[] | undefined;
  }): Promise<readonly NearestChunk[]> {
    return this.#repository.nearest(this.#database, { entityType: 'knowledge', ...query });
  }

  /** Removes the embeddings of a document, of every model. Deleting the document does so by itself. */
  async remove(documentId: string): Promise<void> {
    await this.#repository.remove(this.#database, { entityType: 'knowledge', entityId: documentId });
  }

  /** As {@link remove}, of a text of an app's own. */
  async removeEntity(entity: { readonly entityType: string; readonly entityId: string }): Promise<void> {
    await this.#repository.remove(this.#database, entity);
  }

  /** Up to `limit` documents after `after`, by id, whose embeddings of {@link model} are missing or of an older version. */
  findStale(scope: StaleScope): Promise<readonly StaleDocument[]> {
    return this.#stale.find(scope);
  }

  /** How many documents {@link findStale} would go through. */
  countStale(workspaceId?: string): Promise<number> {
    return this.#stale.count(workspaceId);
  }

  async close(): Promise<void> {
    await this.#embedder.close();
  }

  #hashOf(text: string): Buffer {
    return contentHash(this.#embedder.model, this.#embedder.dimensions, text);
  }

  /** Without its index a model's search is only slower, so a failure is told and not thrown. */
  #prepareModel(): Promise<void> {
    this.#prepared ??= this.#repository.prepareModel(this.#database).catch((error: unknown) => {
      this.#prepared = undefined;
      this.#log.warn({ event: 'embeddings.index-not-made', model: this.#embedder.model, err: error });
    });
    return this.#prepared;
  }

  async #embedMissing(
    { workspaceId }: EntityKey,
    chunks: readonly HashedChunk[],
    signal: AbortSignal | undefined,
  ): Promise<{ fresh: ReadonlyMap<string, StorableVector>; embedded: number }> {
    const byHash = new Map(chunks.map((chunk) => [chunk.hash.toString('hex'), chunk]));
    const stored = await this.#repository.storedHashes(
      this.#database,
      workspaceId,
      [...byHash.values()].map((chunk) => chunk.hash),
    );
    const missing = [...byHash].filter(([key]) => !stored.has(key)).map(([, chunk]) => chunk);
    const size = this.#embedder.maxTextsPerCall;
    let fresh = new Map<string, StorableVector>();
    for (let from = 0; from < missing.length; from += size) {
      const vectors = await this.#embed(missing.slice(from, from + size), signal);
      fresh = new Map(vectors.map((vector) => [vector.hash.toString('hex'), vector]));
      // What a long document has cost so far survives a time-out or a crash of this attempt.
      if (missing.length > size) await this.#repository.keepPending(this.#database, workspaceId, vectors);
    }
    return { fresh: missing.length > size ? new Map<string, StorableVector>() : fresh, embedded: missing.length };
  }

  async #embed(chunks: readonly HashedChunk[], signal: AbortSignal | undefined): Promise<readonly StorableVector[]> {
    const vectors = await this.#embedder.embed(
      chunks.map((chunk) => chunk.text),
      { signal },
    );
    return chunks.map((chunk, index) => {
      const vector = normalise(this.#checked(vectors[index]));
      return { hash: chunk.hash, vector, bits: signBits(vector) };
    });
  }

  #store(
    entity: EntityKey,
    version: number,
    chunks: readonly HashedChunk[],
    fresh: ReadonlyMap<string, StorableVector>,
  ): Promise<boolean> {
    const repository = this.#repository;
    return this.#database
      .transaction(
        async (tx) => {
          if (!(await repository.lockEntity(tx, entity))) return true;
          if (!(await repository.claimVersion(tx, entity, version, chunks.length))) return true;
          const complete = await repository.replaceChunks(tx, entity, chunks, fresh);
          if (!complete) throw new IncompleteChunks();
          if (chunks.length > this.#embedder.maxTextsPerCall) {
            await repository.dropPending(
              tx,
              entity.workspaceId,
              chunks.map((chunk) => chunk.hash),
            );
          }
          return true;
        },
        { name: 'embeddings.refresh' },
      )
      .catch((error: unknown) => {
        if (error instanceof IncompleteChunks) return false;
        throw error;
      });
  }

  #checked(vector: Float32Array | undefined): Float32Array {
    if (vector?.length === this.#embedder.dimensions) return vector;
    throw new AppError(
      'EXTERNAL_SERVICE_ERROR',
      `the model ${this.#embedder.model} answered with ${vector?.length ?? 0} dimensions instead of ${this.#embedder.dimensions}`,
      { service: 'embeddings' },
      { retryable: false },
    );
  }
}

class IncompleteChunks extends Error {
  override readonly name = 'IncompleteChunks';
}
