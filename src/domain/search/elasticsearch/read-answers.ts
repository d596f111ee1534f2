import { z } from 'zod';
import { answeredError } from '../../../lib/elasticsearch/elasticsearch-error.ts';
import { knowledgeStatuses } from '../../knowledge/types.ts';
import { opening as beginning } from '../highlight.ts';
import type { SearchHit } from '../types.ts';

/** The fields of a document that a hit is made of. */
export const shownSource = [
  'id',
  'title',
  'excerpt',
  'status',
  'tags',
  'author',
  'author_name',
  'created_at',
  'updated_at',
];

const time = z.string().transform((text) => new Date(text));
const sourceShape = z.object({
  id: z.string(),
  title: z.string(),
  excerpt: z.string(),
  status: z.enum(knowledgeStatuses),
  tags: z.array(z.string()),
  author: z.string().nullable(),
  author_name: z.string().nullable(),
  created_at: time,
  updated_at: time,
});

const chunkHit = z.object({ _source: z.object({ opening: z.string() }) }).transform(({ _source: chunk }) => chunk);
const chunkHits = z.object({ hits: z.object({ hits: z.array(chunkHit) }) });

/** A document with what was marked in its fields, and how its nearest chunk begins where one was asked for. */
const describedShape = z
  .object({
    _score: z.number().nullable(),
    _source: sourceShape,
    sort: z.array(z.union([z.string(), z.number()])).optional(),
    highlight: z.partialRecord(z.enum(['content', 'excerpt', 'title']), z.array(z.string())).default({}),
    inner_hits: z.object({ chunks: chunkHits }).optional(),
  })
  .transform(({ _score: score, _source: document, sort, highlight, inner_hits: inner }) => ({
    score: score ?? 0,
    document,
    sort,
    highlight,
    nearest: inner?.chunks.hits.hits[0],
  }));
type Described = z.output<typeof describedShape>;

const total = z.object({ value: z.number() });
export const pageShape = z.object({
  hits: z.object({ total, hits: z.array(describedShape) }),
  aggregations: z.unknown().optional(),
});
export const hitsShape = z.object({ hits: z.object({ hits: z.array(describedShape) }) });

/** By score, id, title and time of change, as they were asked to be sorted. */
const rankedHit = z
  .object({ sort: z.tuple([z.number(), z.string(), z.string(), z.number()]) })
  .transform(({ sort: [score, id, titleKey, updatedAt] }) => ({ score, id, titleKey, updatedAt }));
export type RankedHit = z.output<typeof rankedHit>;
export const rankedShape = z.object({
  hits: z.object({ total: total.optional(), hits: z.array(rankedHit) }),
  aggregations: z.unknown().optional(),
});

const failedResponse = z.object({ status: z.number(), error: z.object({ type: z.string() }) });
const responses = z.object({ responses: z.array(z.unknown()) });

/** @throws AppError for the first of several searches that failed. */
export const readResponses = (answer: unknown): readonly unknown[] => {
  const read = responses.parse(answer).responses;
  for (const response of read) {
    const failed = failedResponse.safeParse(response);
    if (failed.success) throw answeredError(failed.data.status, failed.data.error.type);
  }
  return read;
};

const oneLine = (fragment: string): string => fragment.replaceAll(/\s+/g, ' ').trim();

/** Of the first field that has some, in the order of what is worth reading; else how the nearest chunk begins. */
const highlightsOf = ({ highlight, nearest }: Described): readonly string[] => {
  const marked = highlight.content ?? highlight.excerpt ?? highlight.title;
  if (marked) return marked.map(oneLine);
  return nearest === undefined ? [] : beginning(nearest.opening);
};

export const hitOf = (described: Described, score = described.score): SearchHit => {
  const { id, title, excerpt, status, tags, author, author_name: name, created_at, updated_at } = described.document;
  return {
    id,
    title,
    score,
    highlights: highlightsOf(described),
    excerpt,
    status,
    tags,
    author: author === null ? null : { id: author, name: name ?? '' },
    createdAt: created_at,
    updatedAt: updated_at,
  };
};
