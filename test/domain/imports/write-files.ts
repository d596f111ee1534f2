import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

const folders: string[] = [];

/** A folder with these files (paths to their content), removed after the test file. */
export const writeFiles = async (files: Readonly<Record<string, string | Buffer>>): Promise<string> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-import-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    await fs.mkdir(path.join(folder, path.dirname(name)), { recursive: true });
    await fs.writeFile(path.join(folder, name), content);
  }
  return folder;
};

afterAll(async () => {
  for (const folder of folders.splice(0)) await fs.rm(folder, { recursive: true, force: true });
});
