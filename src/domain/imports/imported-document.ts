import { z } from 'zod';
import { faultsOf } from '../../lib/errors/zod-faults.ts';
import { knowledgeStatuses, type KnowledgeStatus } from '../knowledge/types.ts';
import { cutText } from './cut-text.ts';
import { importLimits } from './import-limits.ts';

/** A document as a source gives it, checked, before it has an identity in the workspace. */
export interface ImportedDocument {
  /** The source's own id, unique in the workspace: importing it again updates the document. */
  readonly sourceId: string;
  readonly title: string;
  readonly content: string;
  /** A media type. */
  readonly contentType: string;
  readonly excerpt: string | undefined;
  readonly tags: readonly string[];
  readonly author: string | undefined;
  readonly status: KnowledgeStatus;
  /** Fields of the source that Treadle has no place for. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

const blankAsMissing = (value: unknown): unknown =>
  value === null || (typeof value === 'string' && value.trim() === '') ? undefined : value;
const scalarAsText = (value: unknown): unknown =>
  typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint' ? String(value) : value;
const listOfText = (value: unknown): unknown =>
  typeof value === 'string' ? value.split(/[,;]/) : Array.isArray(value) ? value : scalarAsText(value);
const nameOf = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && 'name' in value ? value.name : value;

const storable = (value: string): boolean => value.isWellFormed() && !value.includes('\0');
const storableText = (message: string) =>
  z.string({ message }).refine(storable, { message: 'contains NUL or a lone surrogate' });
const shortText = (maxLength: number) =>
  z
    .preprocess(
      (value) => scalarAsText(blankAsMissing(value)),
      storableText('must be text')
        .trim()
        .max(maxLength, { message: `is longer than ${maxLength} characters` })
        .optional(),
    )
    .transform((text) => text?.normalize('NFC'));

const content = z.preprocess(
  (value) => scalarAsText(value ?? undefined),
  storableText('must be text')
    .refine((text) => Buffer.byteLength(text) <= importLimits.maxContentBytes, {
      message: `is larger than the ${importLimits.maxContentBytes} bytes one document may have`,
    })
    .default(''),
);
const tags = z
  .preprocess(
    (value) => listOfText(blankAsMissing(value) ?? []),
    z.array(z.preprocess(scalarAsText, storableText('must be text')), { message: 'must be a list of texts' }),
  )
  .transform((given) => [...new Set(given.map((tag) => tag.trim().normalize('NFC')).filter(Boolean))])
  .pipe(
    z
      .array(
        z
          .string()
          .max(importLimits.maxTagLength, { message: `is longer than ${importLimits.maxTagLength} characters` }),
      )
      .max(importLimits.maxTags, { message: `has more than ${importLimits.maxTags} entries` }),
  );
const status = z.preprocess(
  (value) => {
    const given = blankAsMissing(value);
    return typeof given === 'string' ? given.trim().toLowerCase() : given;
  },
  z.enum(knowledgeStatuses, { message: `must be ${knowledgeStatuses.join(', ')}` }).default('published'),
);

const fields = z.object({
  id: shortText(importLimits.maxIdLength),
  title: shortText(importLimits.maxTitleLength),
  content,
  excerpt: shortText(importLimits.maxExcerptLength),
  tags,
  author: z.preprocess(nameOf, shortText(importLimits.maxAuthorLength)),
  status,
});

/** Why a value cannot be kept as JSON in Postgres, or undefined when it can. */
const metadataFault = (value: unknown, depth = 0): string | undefined => {
  if (depth > importLimits.maxMetadataDepth) return `is nested deeper than ${importLimits.maxMetadataDepth} levels`;
  if (typeof value === 'string') return storable(value) ? undefined : 'contains NUL or a lone surrogate';
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'must be a finite number';
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const fault = storable(key) ? metadataFault(inner, depth + 1) : 'has a name with NUL or a lone surrogate';
    if (fault !== undefined) return fault;
  }
  return undefined;
};

const isMissing = (value: unknown): boolean => blankAsMissing(value) === undefined;

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

/** Checks the fields of one record: a document, or every fault with the field's name. Unknown fields become metadata. */
export const toImportedDocument = (
  record: Readonly<Record<string, unknown>>,
  { defaultId, contentType, defaultTitle }: RecordOrigin,
): CheckedRecord => {
  const known = new Set(Object.keys(fields.shape));
  const metadata = Object.fromEntries(
    Object.entries(record).filter(([name, value]) => !known.has(name) && !isMissing(value)),
  );
  const parsed = fields.safeParse(record);
  const faults = parsed.success
    ? []
    : faultsOf(parsed.error).map(({ path, message }) => (path ? `${path} ${message}` : message));
  for (const [name, value] of Object.entries(metadata)) {
    const fault = storable(name) ? metadataFault(value) : 'has a name with NUL or a lone surrogate';
    if (fault !== undefined) faults.push(`${storable(name) ? name : 'a field'} ${fault}`);
  }
  if (Buffer.byteLength(JSON.stringify(metadata) ?? '') > importLimits.maxMetadataBytes) {
    faults.push(`has more than ${importLimits.maxMetadataBytes} bytes in fields that are kept as metadata`);
  }
  if (!parsed.success || faults.length > 0) return { faults };
  const { id, title = defaultTitle(parsed.data.content), ...rest } = parsed.data;
  if (title === undefined) return { faults: ['needs a title or content'] };
  return {
    namesItsId: id !== undefined,
    document: {
      ...rest,
      sourceId: id ?? defaultId,
      title: cutText(title, importLimits.maxTitleLength),
      contentType,
      metadata,
    },
  };
};
