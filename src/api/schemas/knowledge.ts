import { z } from 'zod';
import { storableText } from '../../lib/text/storable.ts';
import { createKnowledgeInput, updateKnowledgeInput } from '../../domain/knowledge/input.ts';
import { knowledgeStatuses } from '../../domain/knowledge/types.ts';
import { workspaceParam } from './workspace.ts';

const named = z.object({ id: z.string(), name: z.string() });
const changeSummary = storableText(1_000).optional().describe('Kept with the version');

export const document = z
  .object({
    id: z.string(),
    workspaceId: z.string(),
    title: z.string(),
    content: z.string(),
    contentDelta: z.unknown().describe('What an editor keeps beside the text; null when there is none'),
    contentType: z.string(),
    excerpt: z.string(),
    status: z.enum(knowledgeStatuses),
    author: named.nullable(),
    collection: named.nullable(),
    tags: z.array(z.string()).readonly(),
    metadata: z.record(z.string(), z.unknown()),
    sourceId: z.string().nullable().describe('Its id where it was imported from'),
    version: z.number(),
    createdAt: z.date(),
    updatedAt: z.date(),
  })
  .meta({ id: 'Document' });

export const documentVersion = z
  .object({
    knowledgeId: z.string(),
    versionNumber: z.number(),
    title: z.string(),
    content: z.string(),
    contentDelta: z.unknown(),
    excerpt: z.string(),
    author: named.nullable(),
    actor: z.string().nullable(),
    changeSummary: z.string().nullable(),
    changed: z.array(z.string()).readonly().describe('The fields that differ from the version before'),
    createdAt: z.date(),
  })
  .meta({ id: 'DocumentVersion' });

const counted = {
  id: z.string(),
  workspaceId: z.string(),
  name: z.string(),
  documents: z.number().describe('How many documents are in it'),
  revision: z.number().describe('1 at first; grows by one with every change of it, not of its documents'),
  createdAt: z.date(),
  updatedAt: z.date(),
};

export const tag = z.object(counted).meta({ id: 'Tag' });
export const collection = z.object({ ...counted, description: z.string() }).meta({ id: 'Collection' });

export const documentParams = z.object({ ws: workspaceParam, id: z.guid().describe('The id of a document') });
export const popularTag = z
  .object({ id: z.string(), name: z.string(), documents: z.number().describe('How many carry it') })
  .meta({ id: 'PopularTag' });

export const tagParams = z.object({ ws: workspaceParam, id: z.guid().describe('The id of a tag') });
export const collectionParams = z.object({ ws: workspaceParam, id: z.guid().describe('The id of a collection') });
export const createDocumentBody = createKnowledgeInput.safeExtend({ changeSummary });
export const updateDocumentBody = updateKnowledgeInput.safeExtend({ changeSummary });
