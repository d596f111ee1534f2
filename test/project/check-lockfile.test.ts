import { describe, expect, it } from 'vitest';
import { lockfileFaults } from '../../scripts/check-lockfile.ts';
import { readProjectJson } from './read-project-file.ts';

const entry = { version: '1.0.0', integrity: 'sha512-x' };
const lockWith = (packages: Readonly<Record<string, object>>) => ({ packages: { '': {}, ...packages } });

describe('the lockfile check', () => {
  it('finds nothing wrong with the lockfile of this project', async () => {
    const [lock, manifest] = await Promise.all(['package-lock.json', 'package.json'].map(readProjectJson));
    expect(lockfileFaults(lock, manifest)).toEqual([]);
  });

  it('names a platform binary that has no entry', () => {
    const lock = lockWith({
      'node_modules/tool': { ...entry, optionalDependencies: { '@tool/linux': '1.0.0', '@tool/darwin': '1.0.0' } },
      'node_modules/@tool/linux': entry,
    });
    expect(lockfileFaults(lock, {})).toEqual(['tool names @tool/darwin, which has no entry']);
  });

  it('names a platform binary of another version than its package asks for', () => {
    const lock = lockWith({
      'node_modules/tool': { ...entry, optionalDependencies: { '@tool/linux': '1.0.1' } },
      'node_modules/@tool/linux': entry,
    });
    expect(lockfileFaults(lock, {})).toEqual(['tool names @tool/linux 1.0.1, but the entry is 1.0.0']);
  });

  it('looks for an entry where Node would: next to the package first, then further out', () => {
    const nested = { ...entry, optionalDependencies: { near: '2.0.0', far: '1.0.0' } };
    const lock = lockWith({
      'node_modules/a/node_modules/tool': nested,
      'node_modules/a/node_modules/near': { ...entry, version: '2.0.0' },
      'node_modules/near': entry,
      'node_modules/far': entry,
    });
    expect(lockfileFaults(lock, {})).toEqual([]);
  });

  it('wants a decision about every install script, and about nothing else', () => {
    const lock = lockWith({ 'node_modules/builds': { ...entry, hasInstallScript: true } });
    expect(lockfileFaults(lock, { allowScripts: { gone: true } })).toEqual([
      'builds has an install script, but allowScripts in package.json does not decide about it',
      'allowScripts in package.json names gone, which has no install script here',
    ]);
    expect(lockfileFaults(lock, { allowScripts: { builds: false } })).toEqual([]);
  });

  it('names entries that could not be verified', () => {
    expect(lockfileFaults(lockWith({ 'node_modules/loose': { version: '1.0.0' } }), {})).toEqual([
      'loose has no integrity',
    ]);
  });
});
