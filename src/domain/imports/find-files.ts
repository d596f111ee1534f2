import type { Dirent } from 'node:fs';
import { lstat, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { validationError } from '../../lib/errors/app-error.ts';
import { codeOf } from '../../lib/errors/classify.ts';

/** What a walk meets: a file, something it passes over (hidden, a link, or special), or a folder it may not read. */
export type Found =
  | { readonly kind: 'file'; readonly absolutePath: string; readonly relativePath: string }
  | { readonly kind: 'skipped' }
  | { readonly kind: 'unreadable'; readonly relativePath: string; readonly message: string };

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'may not be read: permission denied',
  EPERM: 'may not be read: permission denied',
  ENOENT: 'does not exist any more, or its name is not valid UTF-8',
  EISDIR: 'is a folder',
};

/** Why a file or folder cannot be read, in words. */
export const whyUnreadable = (error: unknown): string => {
  const code = codeOf(error) ?? 'unknown error';
  return reasons[code] ?? `cannot be read (${code})`;
};

const kindOf = (entry: Dirent): 'file' | 'folder' | 'skipped' => {
  if (entry.name.startsWith('.')) return 'skipped';
  if (entry.isDirectory()) return 'folder';
  return entry.isFile() ? 'file' : 'skipped';
};

async function* walk(root: string, relativeFolder: string): AsyncGenerator<Found> {
  let entries: Dirent[];
  try {
    entries = await readdir(path.join(root, relativeFolder), { withFileTypes: true });
  } catch (error) {
    yield { kind: 'unreadable', relativePath: relativeFolder || '.', message: whyUnreadable(error) };
    return;
  }
  // Sorted, so that an import meets its files in the same order everywhere.
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const relativePath = relativeFolder === '' ? entry.name : `${relativeFolder}/${entry.name}`;
    const kind = kindOf(entry);
    if (kind === 'skipped') yield { kind };
    else if (kind === 'folder') yield* walk(root, relativePath);
    else yield { kind, absolutePath: path.join(root, relativePath), relativePath: relativePath.normalize('NFC') };
  }
}

/** What an import was pointed at. */
export interface ImportRoot {
  readonly kind: 'file' | 'folder';
  readonly path: string;
}

/** Looks at what was given, through links. @throws AppError VALIDATION_ERROR when it is neither a file nor a folder. */
export const resolveImportRoot = async (given: string): Promise<ImportRoot> => {
  try {
    const resolved = await realpath(given);
    const stats = await lstat(resolved);
    if (stats.isDirectory()) return { kind: 'folder', path: resolved };
    if (stats.isFile()) return { kind: 'file', path: resolved };
  } catch (error) {
    const missing = codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
    throw validationError('import', [{ path: given, message: missing ? 'does not exist' : whyUnreadable(error) }]);
  }
  throw validationError('import', [{ path: given, message: 'is neither a file nor a folder' }]);
};

/**
 * Finds the files to import, in order of their names. Links inside a folder are not followed, so nothing is met twice
 * and nothing outside is read; hidden files and folders are passed over.
 */
export async function* findFiles(root: ImportRoot): AsyncGenerator<Found> {
  if (root.kind === 'folder') yield* walk(root.path, '');
  else yield { kind: 'file', absolutePath: root.path, relativePath: path.basename(root.path).normalize('NFC') };
}
