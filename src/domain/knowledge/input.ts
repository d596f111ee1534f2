import { z } from 'zod';
import { isStorable, lineOfText, storableJson, storableObject, storableText } from '../../lib/text/storable.ts';
import { person } from '../users/input.ts';
import { knowledgeStatuses } from './types.ts';

/** What a document may hold; the table's checks allow no less. */
export const knowledgeLimits = {
  titleLength: 500,
  contentBytes: 8_388_608,
  excerptLength: 2_000,
  sourceIdLength: 500,
  tags: 100,
  tagLength: 100,
  metadataBytes: 131_072,
} as const;

const text = z.string({ error: 'must be text' }).refine(isStorable, 'contains NUL or half of a surrogate pair');

const title = lineOfText(knowledgeLimits.titleLength);
const content = text.refine(
  (value) => Buffer.byteLength(value) <= knowledgeLimits.contentBytes,
  `must have at most ${knowledgeLimits.contentBytes} bytes`,
);
const contentDelta = storableJson(knowledgeLimits.contentBytes);
const contentType = z
  .string({ error: 'must be text' })
  .max(100, 'must have at most 100 characters')
  .regex(/^[a-z0-9.+-]+\/[a-z0-9.+-]+$/, 'must be a media type such as text/markdown');
const excerpt = storableText(knowledgeLimits.excerptLength);
const status = z.enum(knowledgeStatuses, { error: `must be ${knowledgeStatuses.join(', ')}` });
const id = z.guid({ error: 'must be an id' });
const sourceId = storableText(knowledgeLimits.sourceIdLength).min(1, 'must not be empty');
const metadata = storableObject(knowledgeLimits.metadataBytes);
const tags = z
  .array(lineOfText(knowledgeLimits.tagLength), { error: 'must be a list of names' })
  .max(knowledgeLimits.tags, `must have at most ${knowledgeLimits.tags} entries`);

const oneAuthor = (input: { readonly author?: unknown; readonly authorId?: unknown }): boolean =>
  input.author === undefined || input.authorId === undefined;
const oneAuthorFault = { path: ['authorId'], error: 'cannot be given together with author' };

/** A new document. `author` names a person, who is made when the workspace does not know them; `authorId` a member. */
export const createKnowledgeInput = z
  .strictObject({
    title,
    content: content.default(''),
    contentDelta: contentDelta.optional(),
    contentType: contentType.default('text/markdown'),
    excerpt: excerpt.default(''),
    status: status.default('draft'),
    author: person.optional(),
    authorId: id.optional(),
    collectionId: id.optional(),
    sourceId: sourceId.optional(),
    tags: tags.default([]),
    metadata: metadata.default({}),
  })
  .refine(oneAuthor, oneAuthorFault);
export type CreateKnowledgeInput = z.input<typeof createKnowledgeInput>;

/** A change: fields that are not given stay, null takes away what may be absent, `tags` and `metadata` replace. */
export const updateKnowledgeInput = z
  .strictObject({
    title: title.optional(),
    content: content.optional(),
    contentDelta: contentDelta.optional(),
    contentType: contentType.optional(),
    excerpt: excerpt.optional(),
    status: status.optional(),
    author: person.nullable().optional(),
    authorId: id.nullable().optional(),
    collectionId: id.nullable().optional(),
    sourceId: sourceId.nullable().optional(),
    tags: tags.optional(),
    metadata: metadata.optional(),
  })
  .refine(oneAuthor, oneAuthorFault);
export type UpdateKnowledgeInput = z.input<typeof updateKnowledgeInput>;

/**
 * A document as its source has it. Title, content, excerpt, tags and metadata become what the source says; author, status
 * and collection stay as they are when the source does not name them (status `published` for a new document).
 */
export const upsertKnowledgeInput = z.strictObject({
  sourceId,
  title,
  content: content.default(''),
  contentType: contentType.default('text/markdown'),
  excerpt: excerpt.default(''),
  status: status.optional(),
  author: person.optional(),
  collectionId: id.optional(),
  tags: tags.default([]),
  metadata: metadata.default({}),
});
export type UpsertKnowledgeInput = z.output<typeof upsertKnowledgeInput>;

/** What {@link upsertKnowledgeInput} takes, as callers hold it. */
export interface UpsertDocument {
  readonly sourceId: string;
  readonly title: string;
  readonly content?: string | undefined;
  readonly contentType?: string | undefined;
  readonly excerpt?: string | undefined;
  readonly status?: string | undefined;
  readonly author?: string | { readonly name: string; readonly email?: string | undefined } | undefined;
  readonly collectionId?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

export const createCollectionInput = z.strictObject({
  name: lineOfText(200),
  description: storableText(2_000).default(''),
});
export type CreateCollectionInput = z.input<typeof createCollectionInput>;

/** Fields that are not given stay. */
export const updateCollectionInput = z.strictObject({
  name: lineOfText(200).optional(),
  description: storableText(2_000).optional(),
});
export type UpdateCollectionInput = z.input<typeof updateCollectionInput>;

export const createTagInput = z.strictObject({ name: lineOfText(knowledgeLimits.tagLength) });
export type CreateTagInput = z.input<typeof createTagInput>;

export const updateTagInput = createTagInput.partial();
export type UpdateTagInput = z.input<typeof updateTagInput>;
