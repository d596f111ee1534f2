import path from 'node:path';
import { toImportedDocument } from './imported-document.ts';
import { readTextFile } from './read-text-file.ts';
import type { ReadRecord, SourceFile, SourceFormat } from './source-file.ts';

async function* read(file: SourceFile): AsyncGenerator<ReadRecord> {
  const content = await readTextFile(file.absolutePath);
  if (content.trim() === '') return;
  const checked = toImportedDocument(
    { content },
    {
      defaultId: file.defaultId,
      contentType: 'text/plain',
      defaultTitle: () => path.posix.parse(file.relativePath).name,
    },
  );
  if ('document' in checked) yield { line: 1, ...checked };
  else for (const fault of checked.faults) yield { line: 1, fault };
}

/** Plain text, one document a file, titled by the file's name. */
export const plainTextFormat: SourceFormat = { extensions: ['.txt', '.text'], documents: 'one', read };
