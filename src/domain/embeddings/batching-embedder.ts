import { AppError } from '../../lib/errors/app-error.ts';
import { retryAfterMsOf } from '../../lib/errors/retry-after.ts';
import { approximateTokens } from './approximate-tokens.ts';
import type { Embedder, EmbedOptions } from './embedder.ts';

/** Sends one request; while it must not, it throws at once. */
export interface EmbeddingRequests {
  readonly model: string;
  readonly dimensions: number;
  embed(texts: readonly string[], options: EmbedOptions): Promise<readonly Float32Array[]>;
}

export interface BatchLimits {
  /** 256 by default. */
  readonly maxTexts?: number;
  /** 100,000 by default; counted approximately, well below what endpoints take. */
  readonly maxTokens?: number;
  /** How long the first text of a batch waits for others; 5 ms by default. */
  readonly lingerMs?: number;
}

interface Waiting {
  readonly text: string;
  readonly tokens: number;
  readonly settle: (vector: Float32Array) => void;
  readonly fail: (error: unknown) => void;
  readonly gone: () => boolean;
}

/** What an endpoint answers to a request that one text in it may be the fault of. */
const contentStatuses: ReadonlySet<number | undefined> = new Set([400, 413, 422]);

const isFaultOfContent = (error: unknown): boolean =>
  error instanceof AppError &&
  error.code === 'EXTERNAL_SERVICE_ERROR' &&
  !error.retryable &&
  'status' in error.details &&
  contentStatuses.has(error.details.status);

/**
 * Fills requests with the texts of all callers, one request in flight at a time: what a crash can cost is one request.
 * A text sent twice at once is requested once; a text the endpoint refuses fails alone; when nothing may be sent for
 * a while all that waits fails, and says for how long.
 */
export class BatchingEmbedder implements Embedder {
  readonly model: string;
  readonly dimensions: number;
  readonly maxTextsPerCall: number;
  readonly #requests: EmbeddingRequests;
  readonly #maxTokens: number;
  readonly #lingerMs: number;
  readonly #closing = new AbortController();
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(requests: EmbeddingRequests, { maxTexts = 256, maxTokens = 100_000, lingerMs = 5 }: BatchLimits = {}) {
    this.model = requests.model;
    this.dimensions = requests.dimensions;
    this.maxTextsPerCall = maxTexts;
    this.#requests = requests;
    this.#maxTokens = maxTokens;
    this.#lingerMs = lingerMs;
  }

  async embed(
    texts: readonly string[],
    { signal, urgent = false }: EmbedOptions = {},
  ): Promise<readonly Float32Array[]> {
    if (texts.length === 0) return [];
    if (signal?.aborted || this.#closing.signal.aborted) throw interrupted(signal?.reason);
    if (!urgent) return this.#enqueue(texts, signal);
    return this.#requests.embed(texts, {
      signal: AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]),
      urgent,
    });
  }

  /** Fails what waits, ends the request in flight, and returns when nothing runs any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    for (const { fail } of this.#waiting.splice(0)) fail(interrupted());
    await this.#sending;
  }

  #enqueue(texts: readonly string[], signal: AbortSignal | undefined): Promise<readonly Float32Array[]> {
    return new Promise((resolve, reject) => {
      const vectors: Float32Array[] = [];
      let left = texts.length;
      let gone = false;
      const onAbort = (): void => fail(interrupted(signal?.reason));
      const end = (): void => {
        gone = true;
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (error: unknown): void => {
        end();
        reject(error);
      };
      signal?.addEventListener('abort', onAbort);
      for (const [index, text] of texts.entries()) {
        const settle = (vector: Float32Array): void => {
          vectors[index] = vector;
          left -= 1;
          if (left > 0) return;
          end();
          resolve(vectors);
        };
        this.#waiting.push({ text, tokens: approximateTokens(text), settle, fail, gone: () => gone });
      }
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#sending || this.#waiting.length === 0) return;
    if (this.#waiting.length >= this.maxTextsPerCall) {
      this.#start();
      return;
    }
    this.#timer ??= setTimeout(() => this.#start(), this.#lingerMs);
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sending) return;
    this.#sending = this.#drain().finally(() => {
      this.#sending = undefined;
      this.#schedule();
    });
  }

  async #drain(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const batch = this.#take();
      if (batch.length === 0) return;
      await this.#deliver(batch);
    }
  }

  #take(): Waiting[] {
    this.#waiting = this.#waiting.filter((waiting) => !waiting.gone());
    const texts = new Set<string>();
    let tokens = 0;
    let count = 0;
    for (const waiting of this.#waiting) {
      if (!texts.has(waiting.text)) {
        const full = texts.size >= this.maxTextsPerCall || tokens + waiting.tokens > this.#maxTokens;
        if (full && count > 0) break;
        texts.add(waiting.text);
        tokens += waiting.tokens;
      }
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #deliver(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return;
    const texts = [...new Set(batch.map((waiting) => waiting.text))];
    try {
      const vectors = await this.#requests.embed(texts, { signal: this.#closing.signal });
      const byText = new Map(texts.map((text, index) => [text, vectors[index]]));
      for (const { text, settle, fail } of batch) {
        const vector = byText.get(text);
        if (vector) settle(vector);
        else fail(new AppError('INTERNAL_ERROR', 'a text has no vector', {}));
      }
    } catch (error) {
      await this.#divide(batch, texts, error);
    }
  }

  async #divide(batch: readonly Waiting[], texts: readonly string[], error: unknown): Promise<void> {
    if (texts.length === 1 || !isFaultOfContent(error)) {
      const failing = retryAfterMsOf(error) === undefined ? batch : [...batch, ...this.#waiting.splice(0)];
      for (const { fail } of failing) fail(error);
      return;
    }
    const first = new Set(texts.slice(0, Math.ceil(texts.length / 2)));
    await this.#deliver(batch.filter((waiting) => first.has(waiting.text) && !waiting.gone()));
    await this.#deliver(batch.filter((waiting) => !first.has(waiting.text) && !waiting.gone()));
  }
}

const interrupted = (cause?: unknown): AppError =>
  new AppError('INTERRUPTED', 'embedding was interrupted', {}, { cause });
