import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { z } from 'zod';

const root = path.join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

const lockfile = z.looseObject({
  packages: z.record(
    z.string(),
    z.looseObject({ dev: z.boolean().optional(), bin: z.unknown().optional(), dependencies: z.unknown().optional() }),
  ),
});
const manifest = z.looseObject({ version: z.string(), dependencies: z.record(z.string(), z.string()) });

export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A project that has installed the packed package. */
export interface InstalledProject {
  readonly folder: string;
  /** Runs a command in it; `node` is the one of the tests. */
  run(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Finished>;
  env(extra?: Readonly<Record<string, string>>): NodeJS.ProcessEnv;
}

const readJson = async (file: string): Promise<unknown> => JSON.parse(await fs.readFile(file, 'utf8'));

/**
 * What `npm install` of the package and the project's other dependencies would lock: the versions of this checkout, so that
 * npm takes them from its cache instead of asking the registry about each.
 */
const lockOf = async (tarball: string, dependencies: Readonly<Record<string, string>>): Promise<object> => {
  const { packages } = lockfile.parse(await readJson(path.join(root, 'package-lock.json')));
  const { version } = manifest.parse(await readJson(path.join(root, 'package.json')));
  const { '': own, ...others } = packages;
  const resolved = `file:${tarball}`;
  return {
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { dependencies },
      'node_modules/treadle': { version, resolved, dependencies: own?.dependencies, bin: own?.bin },
      ...Object.fromEntries(Object.entries(others).filter(([, { dev }]) => dev !== true)),
    },
  };
};

/** Builds and packs the package, and installs it in a copy of `example`, a folder of a project; removed after the file. */
export const useInstalledProject = (example: string): InstalledProject => {
  let folder = '';
  const env = (extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
    ...process.env,
    PATH: [path.dirname(process.execPath), process.env['PATH']].join(path.delimiter),
    ...extra,
  });
  const npm = (cwd: string, ...args: string[]) => run('npm', args, { cwd, env: env() });
  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-project-'));
    await fs.cp(path.join(root, 'examples', example), folder, { recursive: true });
    await run(process.execPath, [path.join(root, 'scripts/build.ts')], { cwd: root });
    await npm(root, 'pack', '--ignore-scripts', '--pack-destination', folder);
    const tarball = (await fs.readdir(folder)).find((file) => file.endsWith('.tgz')) ?? '';
    const given = manifest.omit({ version: true }).parse(await readJson(path.join(folder, 'package.json')));
    const dependencies = { ...given.dependencies, treadle: `file:${tarball}` };
    await fs.writeFile(path.join(folder, 'package.json'), JSON.stringify({ ...given, dependencies }));
    await fs.writeFile(path.join(folder, 'package-lock.json'), JSON.stringify(await lockOf(tarball, dependencies)));
    // Of what is optional, the embedded Postgres is the largest; the project has a database.
    await npm(folder, 'ci', '--prefer-offline', '--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund');
  }, 300_000);
  afterAll(() => fs.rm(folder, { recursive: true, force: true }));
  return {
    get folder() {
      return folder;
    },
    env,
    run: async (command, args, extra) => {
      try {
        const { stdout, stderr } = await run(command, [...args], { cwd: folder, env: env(extra) });
        return { exitCode: 0, stdout, stderr };
      } catch (error) {
        const failed = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() }).parse(error);
        return { exitCode: failed.code, stdout: failed.stdout, stderr: failed.stderr };
      }
    },
  };
};
