import { toImportedDocument } from './imported-document.ts';
import { firstHeading } from './markdown-title.ts';
import { readLines, type Line } from './read-lines.ts';
import type { ReadRecord, SourceFile, SourceFormat } from './source-file.ts';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const parseJson = (text: string): { readonly value: unknown } | { readonly fault: string } => {
  try {
    return { value: JSON.parse(text) };
  } catch {
    // The parser's own message quotes the text.
    const half = text.trimStart().startsWith('{') && !text.trimEnd().endsWith('}');
    return { fault: half ? 'is not valid JSON: the line ends in the middle of a record' : 'is not valid JSON' };
  }
};

function* readLine(line: Line, file: SourceFile): Generator<ReadRecord> {
  if ('fault' in line) {
    yield { line: line.number, fault: line.fault };
    return;
  }
  if (line.text.trim() === '') return;
  const parsed = parseJson(line.text);
  if ('fault' in parsed) {
    yield { line: line.number, fault: parsed.fault };
  } else if (!isRecord(parsed.value)) {
    yield { line: line.number, fault: 'must be a JSON object' };
  } else {
    const checked = toImportedDocument(parsed.value, {
      defaultId: `${file.defaultId}#${line.number}`,
      contentType: 'text/markdown',
      defaultTitle: titleOfContent,
    });
    if ('document' in checked) yield { line: line.number, ...checked };
    else for (const fault of checked.faults) yield { line: line.number, fault };
  }
}

/** What names a record without a title: its first heading, else its first line. */
export const titleOfContent = (content: string): string | undefined =>
  firstHeading(content) ??
  content
    .split('\n', 100)
    .map((text) => text.trim())
    .find(Boolean);

async function* read(file: SourceFile, signal: AbortSignal | undefined): AsyncGenerator<ReadRecord> {
  for await (const lines of readLines(file.absolutePath, signal)) {
    for (const line of lines) yield* readLine(line, file);
  }
}

/** JSONL, one document a line; a record without an id is known by its line. */
export const jsonlFormat: SourceFormat = { extensions: ['.jsonl', '.ndjson'], documents: 'many', read };
