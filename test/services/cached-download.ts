import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

/** Where servers that were fetched are kept, outside of any checkout. */
export const cacheFolder = (): string =>
  path.join(process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'treadle');

/** Whether a program runs here. */
export const runs = (program: string): Promise<boolean> =>
  promisify(execFile)(program, ['--version'], { timeout: 10_000 }).then(
    () => true,
    () => false,
  );

export interface MavenArtifact {
  /** `group:artifact:version`, with `:type` where it is no jar. */
  readonly coordinates: string;
  readonly fileName: string;
  readonly sha256: string;
}

const checksumOf = async (file: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
};

/**
 * Makes `target` from a file of Maven Central: `make` writes a draft from it, which is then renamed, so that a target is
 * whole or absent, whoever else makes it at the same time.
 * @throws Error when the file is not the expected one.
 */
export const makeFromMaven = async (
  { coordinates, fileName, sha256 }: MavenArtifact,
  target: string,
  make: (file: string, draft: string) => Promise<void>,
): Promise<void> => {
  await fs.mkdir(path.dirname(target), { recursive: true });
  const folder = await fs.mkdtemp(`${target}.`);
  try {
    const goal = ['dependency:copy', `-Dartifact=${coordinates}`, `-DoutputDirectory=${folder}`];
    await promisify(execFile)('mvn', ['--quiet', '--batch-mode', ...goal], { cwd: folder, timeout: 600_000 });
    const file = path.join(folder, fileName);
    const found = await checksumOf(file);
    if (found !== sha256) throw new Error(`${coordinates} has the checksum ${found}, and ${sha256} was expected`);
    const draft = path.join(folder, 'draft');
    await make(file, draft);
    await fs.rename(draft, target).catch(async (error: unknown) => {
      // Somebody else was quicker.
      await fs.access(target).catch(() => Promise.reject(error));
    });
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
};
