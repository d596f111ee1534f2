import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const lockedPackage = z.object({
  version: z.string().optional(),
  integrity: z.string().optional(),
  hasInstallScript: z.boolean().optional(),
  optionalDependencies: z.record(z.string(), z.string()).optional(),
});
const lockfile = z.object({ packages: z.record(z.string(), lockedPackage) });
const manifest = z.object({ allowScripts: z.record(z.string(), z.boolean()).optional() });

type Packages = z.output<typeof lockfile>['packages'];

const modules = 'node_modules/';
const nameOf = (place: string): string => place.slice(place.lastIndexOf(modules) + modules.length);

/** The entry that `name` means to the package at `place`: the nearest one, as Node looks for it. */
const resolve = (packages: Packages, place: string, name: string): string | undefined => {
  for (let folder = place; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf(`/${modules}`)))) {
    const candidate = folder === '' ? `${modules}${name}` : `${folder}/${modules}${name}`;
    if (packages[candidate]) return candidate;
    if (folder === '') return undefined;
  }
};

const exactVersion = /^\d+\.\d+\.\d+(?:[-+].*)?$/;

const missingBinaries = (packages: Packages): string[] =>
  Object.entries(packages).flatMap(([place, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies).flatMap(([name, wanted]) => {
      const found = resolve(packages, place, name);
      if (found === undefined) return [`${nameOf(place)} names ${name}, which has no entry`];
      const version = packages[found]?.version;
      return exactVersion.test(wanted) && version !== wanted
        ? [`${nameOf(place)} names ${name} ${wanted}, but the entry is ${version}`]
        : [];
    }),
  );

const scriptFaults = (packages: Packages, allowed: Readonly<Record<string, boolean>>): string[] => {
  const withScripts = Object.entries(packages).flatMap(([place, { hasInstallScript }]) =>
    place !== '' && hasInstallScript === true ? [nameOf(place)] : [],
  );
  return [
    ...withScripts
      .filter((name) => !(name in allowed))
      .map((name) => `${name} has an install script, but allowScripts in package.json does not decide about it`),
    ...Object.keys(allowed)
      .filter((name) => !withScripts.includes(name))
      .map((name) => `allowScripts in package.json names ${name}, which has no install script here`),
  ];
};

const missingIntegrity = (packages: Packages): string[] =>
  Object.entries(packages).flatMap(([place, { integrity }]) =>
    place !== '' && integrity === undefined ? [`${nameOf(place)} has no integrity`] : [],
  );

/**
 * What would make `npm ci` fail, or do something else, on another machine: platform binaries that npm dropped from the
 * lockfile without a word, install scripts that nobody decided about, entries that cannot be verified.
 */
export const lockfileFaults = (lock: unknown, packageJson: unknown): readonly string[] => {
  const { packages } = lockfile.parse(lock);
  const { allowScripts = {} } = manifest.parse(packageJson);
  return [...missingBinaries(packages), ...scriptFaults(packages, allowScripts), ...missingIntegrity(packages)];
};

const readJson = async (file: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`../${file}`, import.meta.url), 'utf8'));

if (import.meta.main) {
  const faults = lockfileFaults(await readJson('package-lock.json'), await readJson('package.json'));
  for (const fault of faults) console.error(`package-lock.json: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}
