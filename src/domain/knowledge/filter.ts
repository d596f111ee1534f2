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

const carriesTag = (name: string): string => `EXISTS (SELECT FROM treadle.knowledge_tags AS kt
  JOIN treadle.tags AS t ON t.id = kt.tag_id
  WHERE kt.workspace_id = k.workspace_id AND kt.knowledge_id = k.id AND t.name = ${name})`;

/** SQL conditions on `k`, each beginning with AND; their parameters are added to `values`. */
export const conditionsOf = (filter: KnowledgeFilter, values: unknown[]): string => {
  const conditions: string[] = [];
  const add = (value: unknown, condition: (parameter: string) => string): void => {
    if (value === undefined) return;
    values.push(value);
    conditions.push(` AND ${condition(`$${values.length}`)}`);
  };
  add(filter.ids, (parameter) => `k.id = ANY (${parameter}::uuid[])`);
  add(filter.status, (parameter) => `k.status = ${parameter}`);
  add(filter.authorId, (parameter) => `k.author_id = ${parameter}::uuid`);
  add(filter.collectionId, (parameter) => `k.collection_id = ${parameter}::uuid`);
  add(filter.sourceId, (parameter) => `k.source_id = ${parameter}`);
  add(filter.updatedFrom, (parameter) => `k.updated_at >= ${parameter}`);
  add(filter.updatedTo, (parameter) => `k.updated_at < ${parameter}`);
  for (const tag of new Set(filter.tags)) add(tag, carriesTag);
  return conditions.join('');
};
