import type { DocumentKey, SourceDocument } from './index-source.ts';
import { nothing, together, type WrittenDocuments } from './index-writer.ts';
import type { SearchIndex } from './search-index.ts';

export interface BackfillOptions {
  /** Of the index to write to. */
  readonly alias: string;
  /** Behind which to go on. */
  readonly after?: DocumentKey | undefined;
  readonly signal: AbortSignal;
  /** Everything up to here is written. Called in order, before more is read than a few pages ahead. */
  readonly onCursor: (cursor: DocumentKey) => Promise<void>;
  readonly onProgress: (documents: number) => void;
}

/** Pages that are being written while the next is read. */
const pagesAhead = 4;

interface Page {
  readonly documents: readonly SourceDocument[];
  readonly written: Promise<WrittenDocuments>;
}

/**
 * Writes all documents of a source to an index, while changes go on. Each page is written with the version that was published before it
 * was read, so that it never replaces what a later change has written, and whoever's change came before is in the page.
 */
export const backfillIndex = async (
  { source, states, writer, db, name }: SearchIndex,
  { alias, after, signal, onCursor, onProgress }: BackfillOptions,
): Promise<WrittenDocuments> => {
  const under: Page[] = [];
  let result = nothing;
  let documents = 0;
  const settle = async (): Promise<void> => {
    const page = under.shift();
    if (!page) return;
    result = together(result, await page.written);
    documents += page.documents.length;
    const last = page.documents.at(-1);
    if (last) await onCursor({ workspaceId: last.workspaceId, id: last.id });
    onProgress(documents);
  };
  try {
    for (let cursor = after; ;) {
      signal.throwIfAborted();
      const version = await states.publishedVersion(name);
      const page = await source.scan(db, cursor);
      cursor = page.at(-1);
      if (cursor === undefined) break;
      const written = writer.write(
        [alias],
        page.map((document) => ({ workspaceId: document.workspaceId, id: document.id, document, version })),
        signal,
      );
      // It is looked at when its turn comes.
      written.catch(() => undefined);
      under.push({ documents: page, written });
      if (under.length >= pagesAhead) await settle();
    }
    while (under.length > 0) await settle();
    return result;
  } finally {
    await Promise.allSettled(under.map(({ written }) => written));
  }
};
