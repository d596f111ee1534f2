import { sql, type RawBuilder, type SqlBool } from 'kysely';
import { z } from 'zod';
import { storableText } from '../../lib/text/storable.ts';
import { knowledgeStatuses } from './types.ts';

const id = z.guid({ error: 'must be an id' });

/** Which documents of a workspace; every condition given must hold. */
export const knowledgeFilter = z.strictObject({
  ids: z.array(id).max(1_000, 'must have at most 1000 entries').readonly().optional(),
  status: z.enum(knowledgeStatuses, { error: `must be ${knowledgeStatuses.join(', ')}` }).optional(),
  authorId: id.optional(),
  collectionId: id.optional(),
  /** Documents that carry all of these. */
  tags: z.array(storableText(100)).max(20, 'must have at most 20 entries').readonly().optional(),
  sourceId: storableText(500).optional(),
  updatedFrom: z.date({ error: 'must be a time' }).optional(),
  /** Exclusive. */
  updatedTo: z.date({ error: 'must be a time' }).optional(),
});
export type KnowledgeFilter = z.input<typeof knowledgeFilter>;

const carriesTag = (name: string): RawBuilder<SqlBool> => sql`EXISTS (SELECT FROM treadle.knowledge_tags AS kt
  JOIN treadle.tags AS t ON t.id = kt.tag_id
  WHERE kt.workspace_id = k.workspace_id AND kt.knowledge_id = k.id AND t.name = ${name})`;

/** One SQL condition on `k` that holds when all of the filter do. */
export const conditionOf = (filter: KnowledgeFilter): RawBuilder<SqlBool> => {
  const conditions = [...new Set(filter.tags)].map(carriesTag);
  const add = <T>(value: T | undefined, condition: (value: T) => RawBuilder<SqlBool>): void => {
    if (value !== undefined) conditions.push(condition(value));
  };
  add(filter.ids, (ids) => sql`k.id = ANY (${ids}::uuid[])`);
  add(filter.status, (status) => sql`k.status = ${status}`);
  add(filter.authorId, (author) => sql`k.author_id = ${author}::uuid`);
  add(filter.collectionId, (collection) => sql`k.collection_id = ${collection}::uuid`);
  add(filter.sourceId, (source) => sql`k.source_id = ${source}`);
  add(filter.updatedFrom, (time) => sql`k.updated_at >= ${time}`);
  add(filter.updatedTo, (time) => sql`k.updated_at < ${time}`);
  return conditions.length === 0 ? sql`true` : sql.join(conditions, sql` AND `);
};
