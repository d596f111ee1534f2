import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import path from 'node:path';

export interface MigrationFile {
  /** The file's name without `.sql`; they run in the order of their names. */
  readonly name: string;
  readonly sha256: string;
  /** Both sections. */
  readonly text: string;
}

/** The numbered SQL beside package.json, from the sources and from `dist/` alike. */
const findFolder = (): string => {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'migrations');
    if (existsSync(path.join(candidate, '001_foundation.sql')) || folder === path.dirname(folder)) return candidate;
  }
};

export const migrationsFolder = findFolder();

/** The code's migrations in order, each with the checksum of its text (line ends do not count). */
export const readMigrationFiles = async (folder: string = migrationsFolder): Promise<readonly MigrationFile[]> => {
  const names = (await fs.readdir(folder)).filter((file) => file.endsWith('.sql')).toSorted();
  return Promise.all(
    names.map(async (file) => {
      const text = (await fs.readFile(path.join(folder, file), 'utf8')).replaceAll('\r\n', '\n');
      return { name: path.basename(file, '.sql'), sha256: createHash('sha256').update(text).digest('hex'), text };
    }),
  );
};
