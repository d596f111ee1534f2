import { z } from 'zod';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { answeredError } from '../../../lib/elasticsearch/elasticsearch-error.ts';
import { writeAliasOf } from './definition.ts';

/** When a document was last written, as Elasticsearch counts it. */
export interface Revision {
  readonly seqNo: number;
  readonly primaryTerm: number;
}

interface Target {
  readonly index: string;
  readonly id: string;
}

export type BulkOperation = Target &
  (
    | { readonly action: 'create'; readonly document: object }
    | { readonly action: 'replace'; readonly document: object; readonly revision: Revision }
    | { readonly action: 'delete' }
  );

/** `conflict`: the document exists (create), or was written meanwhile (replace); `refused`: for what is in it. */
export type Outcome = 'done' | 'conflict' | 'refused';

const mostBytes = 8 * 1_048_576;

const itemShape = z
  .record(z.string(), z.object({ status: z.number(), error: z.object({ type: z.string() }).optional() }))
  .transform((item) => Object.values(item)[0]);
const answerShape = z.object({ items: z.array(itemShape) });
type Item = z.output<typeof itemShape>;

const linesOf = (operation: BulkOperation): string => {
  const target = { _index: writeAliasOf(operation.index), _id: operation.id };
  if (operation.action === 'delete') return JSON.stringify({ delete: target });
  const action =
    operation.action === 'create'
      ? { create: target }
      : {
          index: {
            ...target,
            if_seq_no: operation.revision.seqNo,
            if_primary_term: operation.revision.primaryTerm,
          },
        };
  return `${JSON.stringify(action)}\n${JSON.stringify(operation.document)}`;
};

function* requests(operations: readonly BulkOperation[]): Generator<string[]> {
  let lines: string[] = [];
  let bytes = 0;
  for (const text of operations.map(linesOf)) {
    const size = Buffer.byteLength(text);
    if (lines.length > 0 && bytes + size > mostBytes) {
      yield lines;
      [lines, bytes] = [[], 0];
    }
    lines.push(text);
    bytes += size;
  }
  if (lines.length > 0) yield lines;
}

const outcomeOf = (item: Item): Outcome => {
  // What is to be deleted and is not there has a status of 404, and no error.
  if (item && !item.error) return 'done';
  if (item?.status === 409) return 'conflict';
  if (item?.status === 400) return 'refused';
  throw answeredError(item?.status ?? 0, item?.error?.type ?? 'no answer');
};

/**
 * Writes documents in one request, or several of about eight megabytes; answers what became of each, in their order.
 * @throws AppError of {@link Elasticsearch.call}, and of the first document that could not be written now; others may be.
 */
export const writeBulk = async (
  elasticsearch: Elasticsearch,
  operations: readonly BulkOperation[],
  signal?: AbortSignal,
): Promise<readonly Outcome[]> => {
  const items: Item[] = [];
  for (const lines of requests(operations)) {
    const answer = await elasticsearch.call(
      (client, options) =>
        client.bulk<string>(
          {
            require_alias: true,
            filter_path: ['items.*.status', 'items.*.error.type'],
            operations: lines,
          },
          options,
        ),
      { signal },
    );
    items.push(...answerShape.parse(answer).items);
  }
  return operations.map((_, place) => outcomeOf(items[place]));
};
