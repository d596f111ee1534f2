import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

export interface RealDocument {
  readonly title: string;
  readonly content: string;
  readonly tags: readonly string[];
}

const field = (record: string, name: string): string =>
  new RegExp(`^${name}: (.*(?:\\n .*)*)`, 'm').exec(record)?.[1]?.replaceAll(/\s+/g, ' ') ?? '';

/** Every package of the Debian index of this machine; none where there is no such index. */
const packages = async (): Promise<readonly RealDocument[]> => {
  try {
    const { stdout } = await promisify(execFile)('apt-cache', ['dumpavail'], { maxBuffer: 1_000_000_000 });
    return stdout.split('\n\n').flatMap((record): RealDocument[] => {
      const title = field(record, 'Package');
      if (title === '') return [];
      const facets = field(record, 'Tag').split(', ').filter(Boolean);
      const depends = field(record, 'Depends')
        .replaceAll(/\(.*?\)/g, '')
        .slice(0, 400);
      const content = [
        `${field(record, 'Description') || field(record, 'Description-en')}.`,
        facets.map((facet) => facet.replaceAll(/[:-]+/g, ' ')).join(', '),
        `Maintained by ${field(record, 'Maintainer')}. Needs ${depends}`,
      ].join('\n\n');
      return [{ title, content, tags: [field(record, 'Section') || 'none', ...facets.slice(0, 4)] }];
    });
  } catch {
    return [];
  }
};

/** The paragraphs of the READMEs of the installed packages. */
const paragraphs = (): readonly RealDocument[] => {
  const root = new URL('../', import.meta.url).pathname;
  return globSync('node_modules/{*,@*/*}/README.md', { cwd: root }).flatMap((file) => {
    const name = file.split('/').slice(1, -1).join('/');
    return readFileSync(`${root}${file}`, 'utf8')
      .split(/\n\s*\n/)
      .filter((paragraph) => paragraph.length > 80)
      .map((content, index) => ({
        title: `${name} ${index + 1}`,
        content,
        tags: ['readme', name.split('/')[0] ?? name],
      }));
  });
};

/** `count` different documents of real text; where there is too little, pairs of it stand in. */
export const realDocuments = async (count: number): Promise<readonly RealDocument[]> => {
  const found = [...(await packages()), ...paragraphs()];
  const documents = found.slice(0, count);
  for (let index = 0; documents.length < count; index += 1) {
    const one = found[index % found.length];
    const other = found[(index * 7 + Math.floor(index / found.length) * 13 + 1) % found.length];
    if (!one || !other) throw new Error('there is no text to make documents of');
    documents.push({ ...one, title: `${one.title} and ${other.title}`, content: `${one.content}\n\n${other.content}` });
  }
  return documents;
};
