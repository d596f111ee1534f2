import type { z } from 'zod';
import { faultsOf, safeParse } from '../../lib/errors/zod-faults.ts';
import { knowledgeLimits, upsertKnowledgeInput } from '../knowledge/input.ts';
import { cutText } from './cut-text.ts';

/** A document as a source gives it, checked. Importing the same `sourceId` again updates it. */
export type ImportedDocument = z.output<typeof upsertKnowledgeInput>;

/** How many characters a document takes, about. */
export const lengthOf = ({ content, metadata }: ImportedDocument): number =>
  content.length + JSON.stringify(metadata).length;

/** What a reader knows of a record beside its fields. */
export interface RecordOrigin {
  /** Used where the record names no id. */
  readonly defaultId: string;
  readonly contentType: string;
  /** Used where the record names no title; undefined when there is nothing to name it by. */
  readonly defaultTitle: (content: string) => string | undefined;
}

export type CheckedRecord =
  | { readonly document: ImportedDocument; readonly namesItsId: boolean }
  | { readonly faults: readonly string[] };

const blankAsMissing = (value: unknown): unknown =>
  value === null || (typeof value === 'string' && value.trim() === '') ? undefined : value;

/** A number or a boolean as text; anything else stays as it is, for the check to name. */
const asText = (value: unknown): unknown => {
  const given = blankAsMissing(value);
  return typeof given === 'number' || typeof given === 'boolean' || typeof given === 'bigint' ? String(given) : given;
};

const asTags = (value: unknown): unknown => {
  const given = asText(value);
  const list: unknown = typeof given === 'string' ? given.split(/[,;]/) : given;
  if (!Array.isArray(list)) return list;
  const names = list.map((tag: unknown) => asText(tag)).map((tag) => (typeof tag === 'string' ? tag.trim() : tag));
  return [...new Set(names)].filter((tag) => tag !== undefined);
};

const asAuthor = (value: unknown): unknown => {
  const given = asText(value);
  if (typeof given !== 'object' || given === null || !('name' in given)) return given;
  return { name: given.name, email: 'email' in given ? blankAsMissing(given.email) : undefined };
};

const asStatus = (value: unknown): unknown => {
  const given = blankAsMissing(value);
  return typeof given === 'string' ? given.trim().toLowerCase() : given;
};

/** A title that nobody wrote as one: made to fit. */
const nameBy = (title: string | undefined): string | undefined =>
  title && cutText(title.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim(), knowledgeLimits.titleLength);

/** The message of a fault, after the name the field has in the source. */
const describe = (path: string, message: string): string => {
  const field = path.replace(/^sourceId$/, 'id').replace(/^metadata\./, '');
  return field === '' ? message : `${field} ${message}`;
};

/**
 * Checks the fields of one record by the rules of a document: a document, or every fault with the field's name. Fields
 * that a document does not have are kept as metadata.
 */
export const toImportedDocument = (
  record: Readonly<Record<string, unknown>>,
  { defaultId, contentType, defaultTitle }: RecordOrigin,
): CheckedRecord => {
  const { id, title, content, excerpt, tags, author, status, ...others } = record;
  const givenId = asText(id);
  const text = asText(content) ?? '';
  const givenTitle = asText(title) ?? (typeof text === 'string' ? nameBy(defaultTitle(text)) : undefined);
  if (givenTitle === undefined) return { faults: ['needs a title or content'] };
  const parsed = safeParse(upsertKnowledgeInput, {
    sourceId: typeof givenId === 'string' ? givenId.trim() : (givenId ?? defaultId),
    title: typeof givenTitle === 'string' ? givenTitle.replaceAll(/\s+/g, ' ') : givenTitle,
    content: text,
    contentType,
    excerpt: asText(excerpt),
    tags: asTags(tags),
    author: asAuthor(author),
    status: asStatus(status),
    metadata: Object.fromEntries(Object.entries(others).filter(([, value]) => blankAsMissing(value) !== undefined)),
  });
  if (parsed.success) return { document: parsed.data, namesItsId: givenId !== undefined };
  return { faults: faultsOf(parsed.error).map(({ path, message }) => describe(path, message)) };
};
