import fs from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { samplePackages } from './sample-packages.ts';
import { useImports } from './use-imports.ts';
import { writeFiles } from './write-files.ts';

const database = useDatabase();
const imports = useImports(database);

const index = `Package: warp-tools
Source: warp (1.4-2)
Version: 1.4-2+b1
Installed-Size: 412
Maintainer: Zoë Ångström <zoe@example.org>
Architecture: amd64
Depends: libc6 (>= 2.34),
 libwarp1 (= 1.4-2)
Description: tools for warping threads – command line
 Measures, winds and cuts the warp.
 .
 It knows:
  * cotton
  * wool
Description-md5: 0123456789abcdef0123456789abcdef
Homepage: https://example.org/warp
Tag: implemented-in::c, role::program,
 use::measuring
Section: utils
Priority: optional
Conffiles:
 /etc/warp.conf 11
 /etc/warp.d/x 22

Package: warp-tools
Version: 1.3-1
Architecture: amd64
Maintainer: Zoe Angstrom <ZOE@example.org>
Description: tools for warping threads – command line
Section: utils

Package: warp-tools
Version: 1.4-2
Architecture: arm64
Maintainer: Weavers,
Description: tools for warping threads
Section: utils


# An index made by hand.
package: weft-data
version: 2
architecture: all
description-en: data of weft
 Only data.
tag: role::app-data`;

describe('an index of Debian packages', () => {
  it('gives a document for each package: title, description, tags, maintainer, and the other fields as metadata', async () => {
    const provided = Array.from({ length: 8_000 }, (_, n) => `virtual-${n}`).join(', ');
    const folder = await writeFiles({
      Packages: index,
      'others/x.packages': `Package: loom\r\nVersion: 1\r\nArchitecture: all\r\nProvides: ${provided}\r\nDescription: a loom\r\n of wood\r\n\r\n`,
      'apt/ftp.example.org_dists_stable_main_Packages.gz': gzipSync('Package: heddle\nDescription: a heddle\n'),
      'Packages-of-mine': 'is no index',
    });
    const summary = await imports.importAt(folder, { workspace: 'debian' });
    expect([summary.faults, summary.files]).toEqual([
      [],
      { imported: 3, refused: 0, empty: 0, unknown: 1, skipped: 0 },
    ]);
    const documents = await imports.documents('debian');
    expect([...documents.keys()].toSorted()).toEqual([
      'heddle:all',
      'loom:all',
      'warp-tools:amd64',
      'warp-tools:amd64=1.3-1',
      'warp-tools:arm64',
      'weft-data:all',
    ]);
    expect(documents.get('warp-tools:amd64')).toMatchObject({
      title: 'warp-tools: tools for warping threads – command line',
      content: 'Measures, winds and cuts the warp.\n\nIt knows:\n * cotton\n * wool',
      contentType: 'text/plain',
      excerpt: 'tools for warping threads – command line',
      status: 'published',
      author: { name: 'Zoë Ångström' },
      tags: ['implemented-in::c', 'role::program', 'use::measuring', 'utils'],
      metadata: {
        Package: 'warp-tools',
        Source: 'warp (1.4-2)',
        Version: '1.4-2+b1',
        'Installed-Size': '412',
        Architecture: 'amd64',
        Depends: 'libc6 (>= 2.34), libwarp1 (= 1.4-2)',
        Homepage: 'https://example.org/warp',
        Priority: 'optional',
        Conffiles: '/etc/warp.conf 11\n/etc/warp.d/x 22',
      },
    });
    // One person by the address, whatever the name and the case; one without an address; none at all.
    expect(documents.get('warp-tools:amd64=1.3-1')).toMatchObject({
      author: documents.get('warp-tools:amd64')?.author,
      content: 'tools for warping threads – command line',
    });
    expect(documents.get('warp-tools:arm64')?.author).toMatchObject({ name: 'Weavers' });
    expect(documents.get('weft-data:all')).toMatchObject({
      author: null,
      title: 'weft-data: data of weft',
      content: 'Only data.',
      tags: ['role::app-data'],
    });
    expect(documents.get('loom:all')).toMatchObject({ content: 'of wood', metadata: { Provides: provided } });
  });

  it('with faults is refused, each fault with its line', async () => {
    const stanzas = [
      ' continues nothing\nPackage: a',
      'Package: b\nVersion: 1\nversion: 2',
      'Package: c\nwhat is this',
      'Version: 3\nDescription: nameless',
      'Package: d\nArchitecture: all\nVersion: 1',
      'Package: d\nArchitecture: all\nVersion: 1',
      'Package: d\nArchitecture: all\nVersion: 1',
    ];
    const folder = await writeFiles({
      'a.deb822': stanzas.join('\n\n'),
      'cut.Packages.gz': 'never read: of no known name',
      'apt_Packages.gz': gzipSync(samplePackages(500, 3)).subarray(0, 9_000),
      'text_Packages.gz': 'Package: no-gzip\n',
      'utf8.packages': Buffer.concat([Buffer.from('Package: e\nDescription: caf'), Buffer.from([0xe9, 0x0a])]),
    });
    const { faults, workspace } = await imports.importAt(folder, { workspace: 'faulty' });
    expect(faults).toEqual([
      { file: 'a.deb822', line: 1, message: 'continues a field, but no field stands before it' },
      { file: 'a.deb822', line: 6, message: 'names the field version twice' },
      { file: 'a.deb822', line: 9, message: 'is neither a field such as "Package: name" nor part of one' },
      { file: 'a.deb822', line: 11, message: 'has no field Package' },
      { file: 'a.deb822', line: 22, message: 'has the id "d:all=1" of a.deb822:18' },
      { file: 'apt_Packages.gz', message: 'is not a whole gzip file' },
      { file: 'text_Packages.gz', message: 'is not a whole gzip file' },
      { file: 'utf8.packages', line: 2, message: 'is not valid UTF-8' },
    ]);
    expect(workspace).toBeUndefined();
  });

  it('of thousands is imported whole, and again nothing is written but what changed', async () => {
    const count = 2_500;
    const folder = await writeFiles({ Packages: samplePackages(count, 7) });
    const first = await imports.importAt(folder, { workspace: 'thousands' });
    expect(first).toMatchObject({ documents: { inserted: count, updated: 0, unchanged: 0 }, faults: [] });
    const traces = () =>
      database.query(
        `SELECT (SELECT count(*) FROM treadle.knowledge_versions WHERE workspace_id = w.id) AS versions,
           (SELECT count(*) FROM treadle.events WHERE workspace_id = w.id AND type = 'knowledge.created' AND actor = 'test') AS events,
           (SELECT count(*) FROM treadle.jobs WHERE tenant = w.id::text) AS jobs,
           (SELECT count(*) FROM treadle.search_documents WHERE workspace_id = w.id AND cardinality(tags) > 0) AS searched,
           (SELECT count(DISTINCT lower(email)) = count(*) FROM treadle.users WHERE workspace_id = w.id) AS authors_once,
           (SELECT max(xmin::text::bigint) FROM treadle.knowledge WHERE workspace_id = w.id) AS last_written
         FROM treadle.workspaces AS w WHERE name = 'thousands'`,
      );
    const after = await traces();
    expect(after).toMatchObject([{ versions: count, events: count, jobs: count, searched: count, authors_once: true }]);

    const again = await imports.importAt(folder, { workspace: 'thousands' });
    expect(again.documents).toEqual({ inserted: 0, updated: 0, unchanged: count });
    expect(await traces()).toEqual(after);

    const file = path.join(folder, 'Packages');
    const text = await fs.readFile(file, 'utf8');
    const newest = text.replaceAll(/^(Package: .*[05])\nVersion: /gm, '$1\nVersion: 1:');
    await fs.writeFile(file, newest);
    const changed = await imports.importAt(folder, { workspace: 'thousands' });
    expect(changed.documents).toEqual({ inserted: 0, updated: 500, unchanged: 2_000 });
  });
});
