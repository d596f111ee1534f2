import crypto from 'node:crypto';
import type { DocumentKey, SourceDocument } from './index-source.ts';

/** Orders what is written under one id: digits of a number below 2^63, as text since numbers round above 2^53. */
export type IndexVersion = string;

/** Its first colon is the one behind it. */
const workspacePart = (workspaceId: string): string =>
  /[:%]/.test(workspaceId) ? workspaceId.replaceAll('%', '%25').replaceAll(':', '%3A') : workspaceId;

/** A document's id in the index holds its workspace: what is written for one never touches another's. */
export const indexId = ({ workspaceId, id }: DocumentKey): string =>
  workspaceId === '' ? id : `${workspacePart(workspaceId)}:${id}`;

/** A document of its content: `json` is an object, with everything but version and hash. */
export const sourceDocument = (key: DocumentKey, json: string): SourceDocument => ({
  workspaceId: key.workspaceId,
  id: key.id,
  json,
  hash: crypto.hash('sha256', json, 'base64url'),
});

/** What is written of a document. */
export const indexDocument = ({ json, hash }: SourceDocument, version: IndexVersion): string =>
  `${json.slice(0, -1)},"version":${version},"content_hash":"${hash}"}`;

const keyJson = ({ workspaceId, id }: DocumentKey): object => ({
  id,
  ...(workspaceId === '' ? {} : { workspace_id: workspaceId }),
});

/** The beginning of a document's JSON. */
export const documentHead = (key: DocumentKey): string => JSON.stringify(keyJson(key));

/** What stays of a deleted document, so that a late write of it is still refused: Elasticsearch soon forgets a deleted version. */
export const tombstone = (key: DocumentKey, version: IndexVersion): string =>
  `${documentHead(key).slice(0, -1)},"version":${version},"deleted_at":${Date.now()}}`;
