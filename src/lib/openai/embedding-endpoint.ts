import type OpenAI from 'openai';
import { z } from 'zod';
import { AppError } from '../errors/app-error.ts';
import type { RemoteService } from '../resilience/remote-service.ts';
import { openAiError } from './openai-error.ts';

export interface EmbeddingEndpointOptions {
  readonly apiKey: string;
  /** OpenAI's own by default; any endpoint of the same wire format works. */
  readonly baseUrl: string | undefined;
  readonly model: string;
  readonly dimensions: number;
  /** All requests go through it. */
  readonly service: RemoteService;
}

export interface EmbeddingRequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** Somebody waits, and nobody will ask again: a failure that may pass is tried once more, in a moment. */
  readonly urgent?: boolean | undefined;
}

const urgentRetry = { attempts: 2, initialDelayMs: 200, maxDelayMs: 250 };

const endpoint = '/embeddings';
const answer = z.object({
  data: z.array(z.object({ index: z.number().int().min(0), embedding: z.array(z.number()) })),
});

/** Only these models know the parameter; others answer with 400 to it. */
const takesDimensions = (model: string): boolean => model.startsWith('text-embedding-3');

/** One request an `embed`; none is repeated that is not urgent: jobs are tried again as a whole. */
export class EmbeddingEndpoint {
  readonly model: string;
  readonly dimensions: number;
  readonly #options: EmbeddingEndpointOptions;
  #client: Promise<{ readonly module: typeof OpenAI; readonly client: OpenAI }> | undefined;

  constructor(options: EmbeddingEndpointOptions) {
    this.model = options.model;
    this.dimensions = options.dimensions;
    this.#options = options;
  }

  /**
   * One vector a text, in order.
   * @throws AppError of {@link RemoteService.call}, or EXTERNAL_SERVICE_ERROR whose `retryable` says whether the same
   * request may succeed later; an answer with another number of vectors or dimensions never will.
   */
  embed(
    texts: readonly string[],
    { signal, urgent = false }: EmbeddingRequestOptions = {},
  ): Promise<readonly Float32Array[]> {
    return this.#options.service.call(
      async (own) => this.#read(await this.#request(texts, own), texts.length),
      urgent ? { signal, retry: urgentRetry } : { signal },
    );
  }

  async #request(texts: readonly string[], signal: AbortSignal): Promise<unknown> {
    const { module, client } = await this.#connect();
    try {
      return await client.embeddings.create(
        {
          model: this.model,
          input: [...texts],
          encoding_format: 'float',
          ...(takesDimensions(this.model) ? { dimensions: this.dimensions } : {}),
        },
        { signal },
      );
    } catch (error) {
      throw openAiError(module, error, { service: 'the embedding endpoint', endpoint });
    }
  }

  /** The client is large: it is loaded with the first request. */
  #connect(): Promise<{ readonly module: typeof OpenAI; readonly client: OpenAI }> {
    this.#client ??= import('openai').then(({ default: module }) => ({
      module,
      client: new module({
        apiKey: this.#options.apiKey,
        baseURL: this.#options.baseUrl ?? 'https://api.openai.com/v1',
        organization: null,
        project: null,
        maxRetries: 0,
        logLevel: 'off',
      }),
    }));
    return this.#client;
  }

  #read(body: unknown, expected: number): readonly Float32Array[] {
    const parsed = answer.safeParse(body);
    if (!parsed.success) throw this.#unusable('its answer does not have the shape of embeddings');
    const vectors = parsed.data.data.toSorted((a, b) => a.index - b.index);
    if (vectors.length !== expected || vectors.some((vector, index) => vector.index !== index)) {
      throw this.#unusable(`it answered with ${vectors.length} vectors to ${expected} texts`);
    }
    const wrong = vectors.find((vector) => vector.embedding.length !== this.dimensions);
    if (wrong) {
      throw this.#unusable(`it answered with ${wrong.embedding.length} dimensions instead of ${this.dimensions}`);
    }
    return vectors.map((vector) => Float32Array.from(vector.embedding));
  }

  #unusable(fault: string): AppError {
    return new AppError(
      'EXTERNAL_SERVICE_ERROR',
      `the model ${this.model} can't be used: ${fault}`,
      { service: 'the embedding endpoint', endpoint },
      { retryable: false },
    );
  }
}
