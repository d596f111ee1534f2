import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CsvError, parse } from 'csv-parse';
import { z } from 'zod';
import { importLimits } from './import-limits.ts';
import { toImportedDocument } from './imported-document.ts';
import { titleOfContent } from './read-jsonl.ts';
import { readLines } from './read-lines.ts';
import { RefusedInput } from './refused-input.ts';
import type { ReadRecord, SourceFile, SourceFormat } from './source-file.ts';

const parsedRecord = z.object({
  record: z.record(z.string(), z.string()),
  info: z.object({ lines: z.number() }),
});

/** The file's text in pieces as they are read, with LF line ends, so that the parser counts lines as an editor does. */
async function* pieces(file: SourceFile, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  for await (const lines of readLines(file.absolutePath, signal)) {
    const texts = lines.map((line) => {
      if ('fault' in line) throw new RefusedInput(line.fault, line.number);
      return `${line.text}\n`;
    });
    yield Buffer.from(texts.join(''));
  }
}

const delimiters = [',', ';', '\t'] as const;

/** The one of comma, semicolon and tab that the header has most of. */
const delimiterOf = async (file: SourceFile): Promise<string> => {
  const handle = await open(file.absolutePath, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(8_192), 0, 8_192, 0);
    const header = buffer.toString('utf8', 0, bytesRead).split('\n', 1)[0] ?? '';
    const unquoted = header.replaceAll(/"[^"]*"/g, '');
    const counts = delimiters.map((delimiter) => unquoted.split(delimiter).length);
    return delimiters[counts.indexOf(Math.max(...counts))] ?? ',';
  } finally {
    await handle.close();
  }
};

/** Names of the columns. @throws RefusedInput for a header that cannot name a document's fields. */
const columnsOf = (header: readonly string[]): string[] => {
  const names = header.map((name) => name.trim());
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (names.includes('')) throw new RefusedInput('has a column without a name in its header', 1);
  if (repeated !== undefined) throw new RefusedInput(`names the column ${JSON.stringify(repeated)} twice`, 1);
  const fields = names.map((name) => (knownFields.has(name.toLowerCase()) ? name.toLowerCase() : name));
  if (!fields.includes('title') && !fields.includes('content')) {
    throw new RefusedInput('must name title or content in its first line', 1);
  }
  return fields;
};
const knownFields = new Set(['id', 'title', 'content', 'excerpt', 'tags', 'author', 'status']);

const explain = (error: unknown, columns: number, lastLine: number): unknown => {
  if (!(error instanceof CsvError)) return error;
  const line = typeof error['lines'] === 'number' ? error['lines'] : undefined;
  if (error.code === 'CSV_RECORD_INCONSISTENT_COLUMNS') {
    const { record } = error;
    const found = Array.isArray(record) ? record.length : 0;
    return new RefusedInput(
      `has ${found} ${found === 1 ? 'value' : 'values'} where the header names ${columns} columns`,
      line,
    );
  }
  if (error.code === 'CSV_QUOTE_NOT_CLOSED') {
    return new RefusedInput('opens a quote that is never closed', lastLine + 1);
  }
  if (error.code === 'CSV_INVALID_CLOSING_QUOTE' || error.code === 'INVALID_OPENING_QUOTE') {
    return new RefusedInput('has a quote in the middle of a value; quote the value and double its quotes', line);
  }
  if (error.code === 'CSV_MAX_RECORD_SIZE') {
    const limit = `is longer than the ${importLimits.maxRecordBytes} bytes one record may have`;
    return new RefusedInput(limit, lastLine + 1);
  }
  return new RefusedInput('is not valid CSV', line);
};

const lineBreaks = (values: Iterable<string>): number => {
  let count = 0;
  for (const value of values) count += value.split('\n').length - 1;
  return count;
};

async function* read(file: SourceFile, signal: AbortSignal | undefined): AsyncGenerator<ReadRecord> {
  let columns = 0;
  let lastLine = 1;
  const parser = parse({
    columns: (header: string[]) => {
      const names = columnsOf(header);
      columns = names.length;
      return names;
    },
    delimiter: await delimiterOf(file),
    info: true,
    max_record_size: importLimits.maxRecordBytes,
    on_record: (record: unknown, context) => {
      lastLine = context.lines;
      return record;
    },
    record_delimiter: '\n',
    skip_empty_lines: true,
  });
  const pumping = pipeline(Readable.from(pieces(file, signal)), parser);
  // A fault of either end arrives through the parser's records below.
  pumping.catch(() => undefined);
  try {
    for await (const item of parser) {
      const { record, info } = parsedRecord.parse(item);
      const line = info.lines - lineBreaks(Object.values(record));
      const checked = toImportedDocument(record, {
        defaultId: `${file.defaultId}#${line}`,
        contentType: 'text/markdown',
        defaultTitle: titleOfContent,
      });
      if ('document' in checked) yield { line, ...checked };
      else for (const fault of checked.faults) yield { line, fault };
    }
  } catch (error) {
    throw explain(error, columns, lastLine);
  }
}

/** CSV with a header, one document a record; comma, semicolon or tab between values. */
export const csvFormat: SourceFormat = { extensions: ['.csv', '.tsv'], documents: 'many', read };
