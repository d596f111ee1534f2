import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { importInstalledPackages } from '../../../src/domain/imports/import-into-workspace.ts';
import { findNodeModules } from '../../../src/domain/imports/installed-packages.ts';
import { useDatabase } from '../../services/database.ts';
import { useImports } from './use-imports.ts';
import { writeFiles } from './write-files.ts';

const imports = useImports(useDatabase());

describe('the READMEs of installed packages', () => {
  it('become documents: name, description, keywords, author', async () => {
    const folder = await writeFiles({
      'one/package.json': JSON.stringify({
        name: 'one',
        version: '1.2.3',
        description: 'Does one thing',
        keywords: ['Queue', 'redis', 7],
        author: 'Ann Other <ann@example.com> (https://example.com)',
        license: 'MIT',
      }),
      'one/readme.md': '# one\nText of one.',
      'one/node_modules/inner/package.json': '{"name":"inner","version":"1.0.0"}',
      'one/node_modules/inner/README.md': 'Inner.',
      '@scope/two/package.json': '{"name":"@scope/two","keywords":"single","author":{"name":"Bob"}}',
      '@scope/two/README.md': 'Two.',
      'zz/node_modules/inner/package.json': '{"name":"inner","version":"2.0.0"}',
      'zz/node_modules/inner/README.md': 'Inner again.',
      'no-readme/package.json': '{"name":"no-readme"}',
      'broken/package.json': '{"name":',
      'broken/README.md': 'Broken.',
      '.cache/x/package.json': '{"name":"x"}',
    });
    await fs.symlink(path.join(folder, 'one'), path.join(folder, 'two-links'));
    const options = { nodeModules: folder, workspace: 'packages', actor: 'test' };
    const first = await importInstalledPackages(imports.services, options);
    expect(first.documents).toEqual({ inserted: 3, updated: 0, unchanged: 0 });
    const documents = await imports.documents('packages');
    expect([...documents.keys()].toSorted()).toEqual(['npm:@scope/two', 'npm:inner', 'npm:one']);
    expect(documents.get('npm:one')).toMatchObject({
      title: 'one',
      excerpt: 'Does one thing',
      content: '# one\nText of one.',
      tags: ['queue', 'redis'],
      author: { name: 'Ann Other' },
      status: 'published',
      metadata: { version: '1.2.3', license: 'MIT' },
    });
    expect(documents.get('npm:inner')?.content).toBe('Inner.');
    expect(documents.get('npm:@scope/two')).toMatchObject({ tags: ['single'], author: { name: 'Bob' } });

    const second = await importInstalledPackages(imports.services, options);
    expect(second.documents).toEqual({ inserted: 0, updated: 0, unchanged: 3 });
  });

  it('are at least two hundred in this installation, none refused', async () => {
    const nodeModules = await findNodeModules(import.meta.dirname);
    const summary = await importInstalledPackages(imports.services, {
      nodeModules: nodeModules ?? '',
      workspace: 'installed',
      actor: 'test',
    });
    expect(summary.faults).toEqual([]);
    expect(summary.documents.inserted).toBeGreaterThanOrEqual(200);
  });
});
