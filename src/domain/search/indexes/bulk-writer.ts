import { z } from 'zod';
import { AppError, validationError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { answeredError } from '../../../lib/elasticsearch/elasticsearch-error.ts';
import type { IndexVersion } from './index-document.ts';

/** One document to write: it replaces an older or equal version of its id, and no newer one. */
export interface IndexOperation {
  /** What reports name it by. */
  readonly id: string;
  readonly indexId: string;
  readonly version: IndexVersion;
  /** As JSON. */
  readonly document: string;
}

export interface WriteReport {
  readonly written: number;
  /** The index holds newer versions of these. */
  readonly stale: readonly string[];
  /** These were not written; `retryable` of the error says whether the same may succeed later. */
  readonly failed: readonly { readonly id: string; readonly error: AppError }[];
}

export const nothingWritten: WriteReport = { written: 0, stale: [], failed: [] };

const addReports = (a: WriteReport, b: WriteReport): WriteReport => ({
  written: a.written + b.written,
  stale: [...a.stale, ...b.stale],
  failed: [...a.failed, ...b.failed],
});

const longestIdBytes = 512;
const highestVersion = 2n ** 63n - 1n;
const mostOperations = 4_000;
const mostBytes = 10 * 1_048_576;

const itemShape = z.object({
  index: z.object({ status: z.number(), error: z.object({ type: z.string() }).optional() }),
});
const answerShape = z.object({ items: z.array(itemShape) });

/** What would fail the whole request with it. */
const faultOf = ({ indexId, version }: IndexOperation): AppError | undefined => {
  if (Buffer.byteLength(indexId) > longestIdBytes || indexId === '') {
    return validationError('the index', [{ path: 'id', message: `must have 1 to ${longestIdBytes} bytes` }]);
  }
  const isNumber = /^(?:0|[1-9]\d{0,18})$/.test(version);
  if (isNumber && (version.length < 19 || BigInt(version) <= highestVersion)) return undefined;
  return validationError('the index', [{ path: 'version', message: 'must be a whole number from 0 to 2^63 - 1' }]);
};

interface EncodedOperation {
  readonly id: string;
  /** Its two lines. */
  readonly lines: Buffer;
}

/** Each on its own: to join thousands of texts first, as the client would, and encode the whole takes eight times as long. */
const encode = ({ id, indexId, version, document }: IndexOperation): EncodedOperation => ({
  id,
  lines: Buffer.from(
    `{"index":{"_id":${JSON.stringify(indexId)},"version":${version},"version_type":"external_gte"}}\n${document}\n`,
  ),
});

function* batches(operations: readonly IndexOperation[]): Generator<readonly EncodedOperation[]> {
  let batch: EncodedOperation[] = [];
  let bytes = 0;
  for (const operation of operations) {
    const encoded = encode(operation);
    const size = encoded.lines.length;
    if (batch.length === mostOperations || (batch.length > 0 && bytes + size > mostBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(encoded);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Whether a smaller request may be taken where this one was not. */
const mayBeSplit = (error: unknown): boolean =>
  error instanceof AppError &&
  (error.code === 'PAYLOAD_TOO_LARGE' ||
    (error.code === 'EXTERNAL_SERVICE_ERROR' && 'status' in error.details && error.details.status === 400));

/** Writes documents through an alias, which must be there: a write never makes an index. */
export class BulkWriter {
  readonly #elasticsearch: Elasticsearch;
  readonly #alias: string;

  constructor(elasticsearch: Elasticsearch, alias: string) {
    this.#elasticsearch = elasticsearch;
    this.#alias = alias;
  }

  /**
   * One document's fault is reported with its id and keeps no other from being written.
   * @throws AppError of {@link Elasticsearch.call} when a request failed as a whole; what was written before stays, and
   * all of it may be written once more.
   */
  async write(operations: readonly IndexOperation[], signal?: AbortSignal): Promise<WriteReport> {
    const sound: IndexOperation[] = [];
    const failed: { readonly id: string; readonly error: AppError }[] = [];
    for (const operation of operations) {
      const error = faultOf(operation);
      if (error) failed.push({ id: operation.id, error });
      else sound.push(operation);
    }
    let report: WriteReport = { ...nothingWritten, failed };
    for (const batch of batches(sound)) report = addReports(report, await this.#send(batch, signal));
    return report;
  }

  /** A request that is refused as a whole is sent in halves, down to the document that it is refused for. */
  async #send(batch: readonly EncodedOperation[], signal: AbortSignal | undefined): Promise<WriteReport> {
    try {
      return await this.#sendOnce(batch, signal);
    } catch (error) {
      if (!(error instanceof AppError) || !mayBeSplit(error)) throw error;
      const [only] = batch;
      if (only && batch.length === 1) return { ...nothingWritten, failed: [{ id: only.id, error }] };
      const half = Math.ceil(batch.length / 2);
      const first = await this.#send(batch.slice(0, half), signal);
      return addReports(first, await this.#send(batch.slice(half), signal));
    }
  }

  async #sendOnce(batch: readonly EncodedOperation[], signal: AbortSignal | undefined): Promise<WriteReport> {
    const answer = await this.#elasticsearch.call(
      (client, options) =>
        client.transport.request(
          {
            method: 'POST',
            path: `/${encodeURIComponent(this.#alias)}/_bulk`,
            querystring: { require_alias: true, filter_path: 'items.*.status,items.*.error.type' },
            bulkBody: Buffer.concat(batch.map(({ lines }) => lines)),
          },
          options,
        ),
      { signal },
    );
    const { items } = answerShape.parse(answer);
    const stale: string[] = [];
    const failed: { id: string; error: AppError }[] = [];
    for (const [place, { id }] of batch.entries()) {
      const item = items[place]?.index;
      if (item?.status === 409) stale.push(id);
      else if (item?.error) failed.push({ id, error: this.#itemError(item.status, item.error.type) });
    }
    return { written: batch.length - stale.length - failed.length, stale, failed };
  }

  #itemError(status: number, type: string): AppError {
    const error = answeredError(status, type);
    // That there is no index, or that it takes no writes, is no fault of a document.
    if (error.code === 'SERVICE_UNAVAILABLE' || error.code === 'CONFIGURATION_ERROR') throw error;
    return error;
  }
}
