import path from 'node:path';
import { splitFrontMatter } from './front-matter.ts';
import { toImportedDocument } from './imported-document.ts';
import { firstHeading } from './markdown-title.ts';
import { readTextFile } from './read-text-file.ts';
import type { ReadRecord, SourceFile, SourceFormat } from './source-file.ts';

async function* read(file: SourceFile): AsyncGenerator<ReadRecord> {
  const text = await readTextFile(file.absolutePath);
  if (text.trim() === '') return;
  const { fields, content } = splitFrontMatter(text);
  const checked = toImportedDocument(
    { ...fields, content },
    {
      defaultId: file.defaultId,
      contentType: 'text/markdown',
      defaultTitle: () => firstHeading(content) ?? path.posix.parse(file.relativePath).name,
    },
  );
  if ('document' in checked) yield { line: 1, ...checked };
  else for (const fault of checked.faults) yield { line: 1, fault };
}

/** Markdown, one document a file; the title from front matter, else the first heading, else the file's name. */
export const markdownFormat: SourceFormat = { extensions: ['.md', '.markdown'], documents: 'one', read };
