import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { array, assert, asyncProperty, jsonValue, record, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { useImports } from './use-imports.ts';
import { writeFiles } from './write-files.ts';

const imports = useImports(useDatabase());

interface Case {
  readonly what: string;
  readonly file: string;
  readonly content: string | Buffer;
  readonly line?: number;
  readonly says: RegExp;
}

const bytes = (...parts: (string | number)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from([part]))));

const cases: readonly Case[] = [
  { what: 'broken UTF-8', file: 'a.md', content: bytes('# ok\nbad ', 0xff), line: 2, says: /UTF-8/ },
  { what: 'half a character at the end', file: 'a.txt', content: bytes('caf', 0xc3), line: 1, says: /UTF-8/ },
  { what: 'NUL', file: 'a.md', content: 'one\ntwo\0\n', line: 2, says: /NUL/ },
  { what: 'UTF-16', file: 'a.md', content: Buffer.from('\uFEFFtext', 'utf16le'), line: 1, says: /UTF-16/ },
  { what: 'unclosed front matter', file: 'a.md', content: '---\ntitle: x\ntext\n', line: 1, says: /not closed/ },
  { what: 'front matter that is not YAML', file: 'a.md', content: '---\na: 1\nb: [\n---\n', line: 3, says: /YAML/ },
  { what: 'a status that does not exist', file: 'a.md', content: '---\nstatus: new\n---\nx', says: /^status must be/ },
  { what: 'a truncated line', file: 'a.jsonl', content: '{"title":"x"}\n{"title":"y', line: 2, says: /middle/ },
  { what: 'a line that is no object', file: 'a.jsonl', content: '{"title":"x"}\n[1]\n', line: 2, says: /object/ },
  { what: 'a lone surrogate', file: 'a.jsonl', content: '{"title":"\\ud800"}', line: 1, says: /^title .*surrogate/ },
  { what: 'NUL in metadata', file: 'a.jsonl', content: '{"title":"t","m":{"k":"\\u0000"}}', line: 1, says: /^m\.k / },
  { what: 'neither title nor content', file: 'a.jsonl', content: '{"tags":["a"]}', line: 1, says: /title or content/ },
  {
    what: 'broken UTF-8 in a line',
    file: 'a.jsonl',
    content: bytes('{"title":"x"}\n"', 0xe2, 0x28, '"'),
    line: 2,
    says: /UTF-8/,
  },
  { what: 'too few columns', file: 'a.csv', content: 'title,content\na,b\nc\n', line: 3, says: /1 value .* 2 columns/ },
  {
    what: 'too many columns',
    file: 'a.csv',
    content: 'title,content\na,b,c\n',
    line: 2,
    says: /3 values .* 2 columns/,
  },
  { what: 'an open quote', file: 'a.csv', content: 'title,content\na,b\nc,"d\ne,f\n', line: 3, says: /never closed/ },
  { what: 'a stray quote', file: 'a.csv', content: 'title,content\na,"b"c\n', line: 2, says: /quote/ },
  { what: 'a header of other things', file: 'a.csv', content: 'x,y\n1,2\n', line: 1, says: /title or content/ },
  { what: 'a column named twice', file: 'a.csv', content: 'title,title\n1,2\n', line: 1, says: /twice/ },
  { what: 'content over the limit', file: 'a.txt', content: Buffer.alloc(8_500_000, 'a '), says: /8388608 bytes/ },
];

describe('a file that cannot be taken', () => {
  it.each(cases)('is named with its line, and the others are imported: $what', async (given) => {
    const workspace = `refused-${cases.indexOf(given)}`;
    const folder = await writeFiles({
      [given.file]: given.content,
      'good.md': '# Good',
      'z.jsonl': '{"title":"last"}',
    });
    const summary = await imports.importAt(folder, { workspace });
    expect(summary.files).toMatchObject({ imported: 2, refused: 1 });
    expect(summary.faults.find(({ file }) => file === given.file)).toMatchObject({
      message: expect.stringMatching(given.says),
      ...(given.line === undefined ? {} : { line: given.line }),
    });
    expect([...(await imports.documents(workspace)).keys()].toSorted()).toEqual(['good.md', 'z.jsonl#1']);
  });

  it('is named with all its faults, up to ten', async () => {
    const lines = Array.from({ length: 30 }, (_, index) => `{"title":"t","status":"bad ${index}"}`);
    const folder = await writeFiles({ 'a.jsonl': lines.join('\n') });
    const { faults } = await imports.importAt(folder, { workspace: 'many-faults' });
    expect(faults.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('is one that uses an id twice, or an id of another file; the first keeps it', async () => {
    const folder = await writeFiles({
      '1.jsonl': '{"id":"x","title":"first"}',
      '2.jsonl': '{"id":"y","title":"y"}\n{"id":"y","title":"again"}',
      '3.md': '---\nid: x\n---\n# third',
      '4.jsonl': '{"id":"y","title":"y of four"}',
    });
    const { faults } = await imports.importAt(folder, { workspace: 'ids' });
    expect(faults).toEqual([
      { file: '2.jsonl', line: 2, message: 'has the id "y" of 2.jsonl:1' },
      { file: '3.md', line: 1, message: 'has the id "x" of 1.jsonl:1' },
    ]);
    const titles = [...(await imports.documents('ids')).values()].map(({ title }) => title);
    expect(titles.toSorted()).toEqual(['first', 'y of four']);
  });
});

/** Imports the records as the lines of a file; answers whether it was refused, and the contents that were stored. */
const importLines = async (workspace: string, records: readonly object[]) => {
  const folder = await writeFiles({ 'any.jsonl': records.map((one) => JSON.stringify(one)).join('\n') });
  const { faultsTotal } = await imports.importAt(folder, { workspace });
  const documents = await imports.documents(workspace);
  return {
    refused: faultsTotal > 0,
    contents: records.map((_, index) => documents.get(`any.jsonl#${index + 1}`)?.content),
  };
};

describe('whatever a line of JSONL says', () => {
  it('is imported as it is when it is text', async () => {
    const text = string({ unit: 'grapheme' }).map((given) => `x${given}`);
    const records = array(record({ title: text, content: text, more: text }), { minLength: 1, maxLength: 5 });
    let run = 0;
    await assert(
      asyncProperty(records, async (given) => {
        run += 1;
        expect(await importLines(`text-${run}`, given)).toEqual({
          refused: false,
          contents: given.map(({ content }) => content),
        });
      }),
      { numRuns: 30 },
    );
  });

  it('is imported as it is, or the file is refused and nothing of it is, when it is anything', async () => {
    const any = string({ unit: 'binary' });
    const records = array(record({ title: any, content: any, tags: array(any, { maxLength: 3 }), more: jsonValue() }), {
      minLength: 1,
      maxLength: 3,
    });
    let run = 0;
    await assert(
      asyncProperty(records, async (given) => {
        run += 1;
        const { refused, contents } = await importLines(`any-${run}`, given);
        const whole = given.map(({ content }) => (content.trim() === '' ? '' : content));
        expect(contents).toEqual(refused ? given.map(() => undefined) : whole);
      }),
      { numRuns: 60 },
    );
  });

  it('cut off anywhere never leaves half a record behind', async () => {
    const whole = Buffer.from(
      ['{"id":"a","title":"Ä","content":"é…"}', '{"id":"b","title":"b"}', '{"id":"c","title":"c"}'].join('\n'),
    );
    const ends = [1, 12, 17, 18, 39, 45, 46, 47, 60, whole.length - 1];
    for (const end of ends) {
      const folder = await writeFiles({ 'cut.jsonl': whole.subarray(0, end) });
      const { documents, faultsTotal } = await imports.importAt(folder, { workspace: `cut-${end}` });
      const cutAtLineEnd = whole[end] === 0x0a || whole[end - 1] === 0x0a;
      expect([end, faultsTotal > 0, documents.inserted > 0]).toEqual([end, !cutAtLineEnd, cutAtLineEnd]);
    }
  });
});

describe('a folder', () => {
  it('is walked without following links, and what is hidden, special or of another type is counted', async () => {
    const folder = await writeFiles({
      'a.md': '# a',
      'sub/b.MD': '# b',
      'named-like.md/c.md': '# c',
      '.hidden/c.md': '# c',
      '.d.md': '# d',
      'picture.png': 'no text',
      'empty.md': '  \n',
      'empty.csv': 'title,content\n',
    });
    await fs.symlink('..', path.join(folder, 'sub', 'loop'));
    await fs.symlink('/etc/hostname', path.join(folder, 'outside.txt'));
    const socket = net.createServer().listen(path.join(folder, 'socket.md'));
    await once(socket, 'listening');
    const summary = await imports.importAt(folder, { workspace: 'walk' });
    socket.close();
    expect(summary.files).toEqual({ imported: 3, refused: 0, empty: 2, unknown: 1, skipped: 5 });
    expect([...(await imports.documents('walk')).keys()].toSorted()).toEqual([
      'a.md',
      'named-like.md/c.md',
      'sub/b.MD',
    ]);
  });

  it('that does not exist is refused before a workspace is made', async () => {
    await expect(imports.importAt('/does/not/exist', { workspace: 'nothing' })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      message: 'import: /does/not/exist: does not exist',
    });
    expect(await imports.services.workspaces.find('nothing')).toBeUndefined();
  });

  it('with nothing to import makes no workspace', async () => {
    const folder = await writeFiles({ 'bad.jsonl': '{' });
    const { workspace } = await imports.importAt(folder, { workspace: 'refused-whole' });
    expect(workspace).toBeUndefined();
    expect(await imports.services.workspaces.find('refused-whole')).toBeUndefined();
  });
});

describe('a file given by name', () => {
  it('of another type is refused with the types there are', async () => {
    const folder = await writeFiles({ 'a.docx': 'x' });
    const { faults } = await imports.importAt(path.join(folder, 'a.docx'), { workspace: 'typed' });
    expect(faults).toEqual([{ file: 'a.docx', message: expect.stringContaining('.md, .markdown, .txt') }]);
  });
});
