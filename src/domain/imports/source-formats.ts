import path from 'node:path';
import { csvFormat } from './read-csv.ts';
import { debianControlFormat } from './read-debian-control.ts';
import { jsonlFormat } from './read-jsonl.ts';
import { markdownFormat } from './read-markdown.ts';
import { plainTextFormat } from './read-plain-text.ts';
import type { SourceFormat } from './source-file.ts';

const formats: readonly SourceFormat[] = [markdownFormat, plainTextFormat, jsonlFormat, csvFormat, debianControlFormat];
const byExtension = new Map(formats.flatMap((format) => format.extensions.map((ending) => [ending, format] as const)));

/** The file name endings an import reads; some formats know names without an ending too. */
export const importedExtensions: readonly string[] = [...byExtension.keys()];

/** The format a file's name says, or undefined for one that is not imported. */
export const formatOf = (fileName: string): SourceFormat | undefined =>
  byExtension.get(path.extname(fileName).toLowerCase()) ??
  formats.find(({ fileNames }) => fileNames?.test(path.posix.basename(fileName)) === true);
