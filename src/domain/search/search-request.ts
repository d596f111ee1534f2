import { z } from 'zod';
import { storableText } from '../../lib/text/storable.ts';
import { knowledgeStatuses } from '../knowledge/types.ts';
import { searchModes, searchSorts } from './types.ts';

const longestQuery = 500;
const longestSuggestion = 64;
/** Behind this many a cursor leads further. */
const deepestOffset = 10_000;

const characters = (text: string): number => Array.from(text).length;
/** Searches take any text: what Postgres can't keep is not in any document either. */
const searchable = (text: string): string => text.toWellFormed().replaceAll('\0', ' ').trim();

const queryText = (longest: number) =>
  z
    .string({ error: 'must be text' })
    .refine((text) => text.length <= longest * 2 && characters(text) <= longest, {
      message: `must have at most ${longest} characters`,
    })
    .transform(searchable);

const values = <T extends z.ZodType>(value: T) => z.array(value).max(100, 'must have at most 100 values');
const time = z.union([z.date(), z.iso.datetime({ offset: true }), z.iso.date()]).transform((given) => new Date(given));

export const searchFiltersSchema = z.strictObject({
  tags: values(storableText(100)).optional(),
  authors: values(z.uuid()).optional(),
  status: values(z.enum(knowledgeStatuses)).optional(),
  collections: values(z.uuid()).optional(),
  months: values(z.string().regex(/^[1-9]\d{3}-(0[1-9]|1[0-2])$/, 'must be a month such as 2026-01')).optional(),
  from: time.optional(),
  to: time.optional(),
});

/** A search as callers ask for it; defaults: hybrid, by relevance, the first 20. */
export const searchRequestSchema = z
  .strictObject({
    workspaceId: z.uuid(),
    query: queryText(longestQuery).default(''),
    mode: z.enum(searchModes).default('hybrid'),
    filters: searchFiltersSchema.default({}),
    sort: z.enum(searchSorts).default('relevance'),
    limit: z.number().int().min(1).max(100).default(20),
    offset: z.number().int().min(0).default(0),
    cursor: z.string().max(2_000).optional(),
  })
  .superRefine(({ offset, limit, cursor }, context) => {
    if (offset + limit > deepestOffset) {
      const message = `offset and limit may reach to ${deepestOffset}; use the cursor to go further`;
      context.addIssue({ code: 'custom', path: ['offset'], message });
    }
    if (cursor !== undefined && offset > 0) {
      context.addIssue({ code: 'custom', path: ['offset'], message: 'can not be combined with a cursor' });
    }
  });

export type SearchInput = z.input<typeof searchRequestSchema>;
export type SearchRequest = z.output<typeof searchRequestSchema>;

export const suggestRequestSchema = z.strictObject({ workspaceId: z.uuid(), q: queryText(longestSuggestion) });
