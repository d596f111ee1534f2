export interface EmbedOptions {
  readonly signal?: AbortSignal | undefined;
  /** Somebody waits for the answer: it is asked for at once and on its own. */
  readonly urgent?: boolean | undefined;
}

/** Turns texts into vectors under one model. */
export interface Embedder {
  /** Vectors of different models are never compared. The local one's name starts with `local`. */
  readonly model: string;
  readonly dimensions: number;
  /** What one call may carry, so that a caller knows how to cut its work; batching below it is the embedder's own. */
  readonly maxTextsPerCall: number;
  /**
   * One vector a text, in order, each of `dimensions` numbers.
   * @throws AppError RATE_LIMITED or CIRCUIT_BREAKER_OPEN (with `retryAfterMs`), EXTERNAL_SERVICE_ERROR, TIMEOUT or
   * PERFORMANCE_ERROR (`retryable` says which pass), INTERRUPTED when `signal` aborts.
   */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<readonly Float32Array[]>;
  close(): Promise<void>;
}
