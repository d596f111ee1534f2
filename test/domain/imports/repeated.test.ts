import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { useImports } from './use-imports.ts';
import { writeFiles } from './write-files.ts';

const database = useDatabase();
const imports = useImports(database);

describe('importing again', () => {
  it('writes only what changed, and doubles nothing', async () => {
    const folder = await writeFiles({
      'a.md': '# A',
      'b.md': '# B',
      'rows.csv': 'id,title\n1,One\n2,Two\n',
      'lines.jsonl': '{"id":"l1","title":"L"}',
    });
    const first = await imports.importAt(folder, { workspace: 'again' });
    expect(first.documents).toEqual({ inserted: 5, updated: 0, unchanged: 0 });

    await fs.writeFile(path.join(folder, 'a.md'), '# A, changed');
    await fs.writeFile(path.join(folder, 'rows.csv'), 'id,title\n1,One\n2,Deux\n3,Three\n');
    const second = await imports.importAt(folder, { workspace: 'again' });
    expect(second.documents).toEqual({ inserted: 1, updated: 2, unchanged: 3 });

    const documents = await imports.documents('again');
    expect(documents.size).toBe(6);
    expect(documents.get('a.md')).toMatchObject({ title: 'A, changed', version: 2 });
    expect(documents.get('b.md')?.version).toBe(1);
    expect(documents.get('2')?.title).toBe('Deux');
  });

  it('from another folder keeps apart with a prefix', async () => {
    const [one, two] = [await writeFiles({ 'README.md': '# One' }), await writeFiles({ 'README.md': '# Two' })];
    await imports.importAt(one, { workspace: 'prefixed', idPrefix: 'one/' });
    await imports.importAt(two, { workspace: 'prefixed', idPrefix: 'two/' });
    expect([...(await imports.documents('prefixed')).keys()].toSorted()).toEqual(['one/README.md', 'two/README.md']);
  });

  it('leaves a refused file as it was imported before', async () => {
    const folder = await writeFiles({ 'a.jsonl': '{"id":"1","title":"One"}\n{"id":"2","title":"Two"}' });
    await imports.importAt(folder, { workspace: 'kept' });
    await fs.writeFile(path.join(folder, 'a.jsonl'), '{"id":"1","title":"Changed"}\n{"id":"2","ti');
    await imports.importAt(folder, { workspace: 'kept' });
    const titles = [...(await imports.documents('kept')).values()].map(({ title }) => title);
    expect(titles.toSorted()).toEqual(['One', 'Two']);
  });

  it('goes on after an interruption', async () => {
    const count = 10_000;
    const lines = Array.from({ length: count }, (_, index) =>
      JSON.stringify({ id: `d${index}`, title: `Title ${index}` }),
    );
    const folder = await writeFiles({ 'many.jsonl': lines.join('\n') });
    const interruption = new AbortController();
    const { id } = await imports.services.workspaces.ensure('interrupted');
    const importing = imports.importAt(folder, { workspace: 'interrupted', signal: interruption.signal });
    for (const deadline = Date.now() + 10_000; (await imports.services.knowledge.count(id)) === 0;) {
      if (Date.now() > deadline) throw new Error('nothing was imported in ten seconds');
    }
    interruption.abort(new Error('enough'));
    await expect(importing).rejects.toThrow('enough');
    const before = await imports.services.knowledge.count(id);
    expect(before).toBeLessThan(count);
    const { documents } = await imports.importAt(folder, { workspace: 'interrupted' });
    expect(documents).toEqual({ inserted: count - before, updated: 0, unchanged: before });
  });

  it('twice at the same time gives each document once', async () => {
    const lines = Array.from({ length: 500 }, (_, index) =>
      JSON.stringify({ id: `d${index}`, title: 't', tags: ['x'] }),
    );
    const folder = await writeFiles({ 'many.jsonl': lines.join('\n') });
    const results = await Promise.all([
      imports.importAt(folder, { workspace: 'twice' }),
      imports.importAt(folder, { workspace: 'twice' }),
    ]);
    expect(results.map(({ faults }) => faults)).toEqual([[], []]);
    expect((await imports.documents('twice')).size).toBe(500);
  });
});

describe('a document that the workspace refuses', () => {
  it('is a fault with its line, and the others of its batch are written in few transactions', async () => {
    const own = 'ALTER TABLE treadle.knowledge ADD CONSTRAINT house_rule CHECK (title NOT LIKE $$No.%$$)';
    await database.query(own);
    const lines = Array.from({ length: 1_500 }, (_, index) =>
      JSON.stringify({ id: `d${index}`, title: index === 700 || index === 1_234 ? `No. ${index}` : `Title ${index}` }),
    );
    const folder = await writeFiles({ 'many.jsonl': lines.join('\n'), 'other.md': '# Other' });
    const { documents, files, faults } = await imports.importAt(folder, { workspace: 'house' });
    await database.query('ALTER TABLE treadle.knowledge DROP CONSTRAINT house_rule');
    expect(documents).toEqual({ inserted: 1_499, updated: 0, unchanged: 0 });
    expect(files).toMatchObject({ imported: 1, refused: 1 });
    expect(faults).toEqual(
      [701, 1_235].map((line) => ({ file: 'many.jsonl', line, message: 'the change breaks the rule house_rule' })),
    );
    const transactions = await database.query(
      `SELECT DISTINCT k.xmin::text FROM treadle.knowledge AS k JOIN treadle.workspaces AS w ON w.id = k.workspace_id WHERE w.name = 'house'`,
    );
    expect(transactions.length).toBeLessThan(25);
  });
});

describe('a document of several megabytes', () => {
  it('is imported whole', async () => {
    const words = Array.from({ length: 300_000 }, (_, index) => `word${index % 60_000}`).join(' ');
    const folder = await writeFiles({ 'book.txt': words });
    const summary = await imports.importAt(folder, { workspace: 'book' });
    expect(summary.faults).toEqual([]);
    expect((await imports.documents('book')).get('book.txt')?.content).toBe(words);
  });
});
