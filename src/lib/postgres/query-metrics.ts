import { AppError } from '../errors/app-error.ts';
import { serializeError } from '../errors/classify.ts';
import { percentile } from '../telemetry/percentile.ts';
import { withoutValues } from './without-values.ts';

export interface SlowQuery {
  /** Without values; cut after 500 characters. */
  readonly statement: string;
  readonly durationMs: number;
  readonly at: Date;
}

export interface QueryPerformance {
  /** Of the last statements, so many. */
  readonly queries: number;
  readonly averageMs: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

const kept = 1_000;
const keptSlow = 20;
const slowMs = 1_000;

/** How the statements of this process did: the last thousand durations, the slow ones, and errors by their code. */
export class QueryMetrics {
  readonly #durations = new Float64Array(kept);
  #recorded = 0;
  #slow: readonly SlowQuery[] = [];
  readonly #errors = new Map<string, number>();

  /** `statement` is kept, without values, when it took a second or more. */
  record(durationMs: number, statement = ''): void {
    this.#durations[this.#recorded % kept] = durationMs;
    this.#recorded += 1;
    if (durationMs < slowMs) return;
    const slow = { statement: withoutValues(statement), durationMs, at: new Date() };
    this.#slow = [slow, ...this.#slow].slice(0, keptSlow);
  }

  /** Runs a statement and records it. */
  async time<T>(statement: string, run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await run();
    } catch (error) {
      this.recordError(error);
      throw error;
    } finally {
      this.record(performance.now() - startedAt, statement);
    }
  }

  recordError(error: unknown): void {
    const code = (error instanceof AppError ? error.code : serializeError(error).code) ?? 'unknown';
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  performance(): QueryPerformance {
    const durations = [...this.#durations.subarray(0, Math.min(kept, this.#recorded))];
    if (durations.length === 0) return { queries: 0, averageMs: null, p95Ms: null, p99Ms: null };
    return {
      queries: durations.length,
      averageMs: durations.reduce((sum, ms) => sum + ms, 0) / durations.length,
      p95Ms: percentile(durations, 0.95),
      p99Ms: percentile(durations, 0.99),
    };
  }

  /** Latest first, 20 at most. */
  slowQueries(): readonly SlowQuery[] {
    return this.#slow;
  }

  /** Since the start, by SQLSTATE or code. */
  errors(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#errors);
  }
}
