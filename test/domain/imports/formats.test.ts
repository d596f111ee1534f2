import { describe, expect, it } from 'vitest';
import { useDatabase } from '../../services/database.ts';
import { useImports } from './use-imports.ts';
import { writeFiles } from './write-files.ts';

const imports = useImports(useDatabase());

describe('Markdown', () => {
  it('takes its fields from front matter, and keeps unknown ones as metadata', async () => {
    const folder = await writeFiles({
      'guide/queues.md': [
        '---',
        'title: 1.10',
        'id: 0042',
        'tags: [queues, "redis", queues]',
        'author: Ann Other <ann@example.com>',
        'status: Draft',
        'excerpt: Short and plain.',
        'weight: 3',
        'links: { home: https://example.com }',
        '---',
        '',
        '# Another heading',
        'Text.',
      ].join('\n'),
    });
    await imports.importAt(folder, { workspace: 'front-matter' });
    const document = (await imports.documents('front-matter')).get('0042');
    expect(document).toMatchObject({
      title: '1.10',
      content: '# Another heading\nText.',
      contentType: 'text/markdown',
      excerpt: 'Short and plain.',
      tags: ['queues', 'redis'],
      author: { name: 'Ann Other' },
      status: 'draft',
      metadata: { weight: 3, links: { home: 'https://example.com' } },
    });
  });

  it('is titled by its first heading, else by its file name; the path is its id', async () => {
    const folder = await writeFiles({
      'a.md': 'Intro\n\n```\n# not this\n```\n## The *real* [heading](http://x) ##\n',
      'b.markdown': '<h1 align="center"><img src="x.png"> Shown `name`</h1>\n',
      'c.md': 'Underlined\n==========\n',
      'deep/no-heading.md': 'Just text.',
      'rule.md': '---\n\nA rule, and no front matter.\n',
    });
    await imports.importAt(folder, { workspace: 'titles' });
    const titles = [...(await imports.documents('titles'))].map(([id, { title }]) => [id, title]);
    expect(Object.fromEntries(titles)).toEqual({
      'a.md': 'The real heading',
      'b.markdown': 'Shown name',
      'c.md': 'Underlined',
      'deep/no-heading.md': 'no-heading',
      'rule.md': 'rule',
    });
  });

  it('reads a byte order mark and Windows line ends away', async () => {
    const folder = await writeFiles({ 'bom.md': '\uFEFF---\r\ntitle: From Windows\r\n---\r\nLine\r\nline\r\n' });
    await imports.importAt(folder, { workspace: 'windows' });
    expect((await imports.documents('windows')).get('bom.md')).toMatchObject({
      title: 'From Windows',
      content: 'Line\nline\n',
    });
  });
});

describe('text', () => {
  it('is one document, titled by the file name', async () => {
    const folder = await writeFiles({ 'notes.txt': '# not a heading here\n' });
    await imports.importAt(folder, { workspace: 'text' });
    expect((await imports.documents('text')).get('notes.txt')).toMatchObject({
      title: 'notes',
      content: '# not a heading here\n',
      contentType: 'text/plain',
    });
  });
});

describe('JSONL', () => {
  it('is a document a line, known by its id, or by the line', async () => {
    const folder = await writeFiles({
      'all.jsonl': [
        '{"id":7,"title":"Seven","content":"c","tags":["x"],"author":{"name":"Ann"},"status":"archived","size":{"w":1}}',
        '',
        '{"content":"No title,\\nbut text"}\r',
        '{"title":"Only a title"}',
      ].join('\n'),
    });
    await imports.importAt(folder, { workspace: 'jsonl' });
    const documents = await imports.documents('jsonl');
    expect([...documents.keys()].toSorted()).toEqual(['7', 'all.jsonl#3', 'all.jsonl#4']);
    expect(documents.get('7')).toMatchObject({
      title: 'Seven',
      tags: ['x'],
      author: { name: 'Ann' },
      status: 'archived',
      metadata: { size: { w: 1 } },
    });
    expect(documents.get('all.jsonl#3')?.title).toBe('No title,');
  });
});

describe('CSV', () => {
  it('reads values over several lines, quotes, tags and further columns', async () => {
    const folder = await writeFiles({
      'sheet.csv':
        'ID,Title,content,tags,Colour\r\n' +
        'r1,"Says ""hi"", twice","first\r\nsecond","a, b",red\r\n' +
        '\r\n' +
        ',Second,,,\r\n',
      'semicolons.csv': 'title;content\nA, b;C\n',
      'tabs.tsv': 'title\tcontent\nT\tU, v\n',
    });
    await imports.importAt(folder, { workspace: 'csv' });
    const documents = await imports.documents('csv');
    expect(documents.get('r1')).toMatchObject({
      title: 'Says "hi", twice',
      content: 'first\nsecond',
      tags: ['a', 'b'],
      metadata: { Colour: 'red' },
    });
    expect(documents.get('sheet.csv#5')).toMatchObject({ title: 'Second', content: '', metadata: {} });
    expect(documents.get('semicolons.csv#2')).toMatchObject({ title: 'A, b', content: 'C' });
    expect(documents.get('tabs.tsv#2')).toMatchObject({ title: 'T', content: 'U, v' });
  });
});
