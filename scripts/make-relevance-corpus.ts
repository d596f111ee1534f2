import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ImportedDocument } from '../src/domain/imports/imported-document.ts';
import { readInstalledPackages } from '../src/domain/imports/installed-packages.ts';
import { debianControlFormat } from '../src/domain/imports/read-debian-control.ts';
import type { CorpusDocument } from '../test/relevance/read-judged-set.ts';
import { knownPackages } from './known-packages.ts';

/*
 * Makes test/relevance/documents.jsonl: `node scripts/make-relevance-corpus.ts`, on a machine with a Debian package index
 * and its long descriptions, which images of Docker leave out: `apt-get update -o Acquire::Languages=en`, and what is given
 * to the script is given to apt-cache (`-o Acquire::Languages=en`).
 * Documents are read as an import reads them, of packages under licences that let their text be passed on, and cut short.
 * The same installed packages and the same index give the same file. Newer ones give another, whose queries
 * (test/relevance/queries.jsonl) must be judged again, so that this is run when the set is to change and not before a test.
 */

const readmeCount = 160;
const packageCount = 600;
const mostReadmeCharacters = 2_600;
const mostDescriptionCharacters = 900;
const fewestReadmeCharacters = 500;
const licences = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'BlueOak-1.0.0']);
const root = path.join(import.meta.dirname, '..');

/** Those that people know, and of the others as many as are missing, in an order that prefers nothing. */
const choose = (documents: readonly CorpusDocument[], count: number): readonly CorpusDocument[] => {
  const keyOf = ({ id }: CorpusDocument): string =>
    `${knownPackages.has(id) ? 0 : 1}${createHash('sha256').update(id).digest('hex')}`;
  return documents.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)).slice(0, count);
};

/** The beginning of a text, up to the end of a line. */
const cut = (text: string, most: number): string => {
  if (text.length <= most) return text.trim();
  const end = text.lastIndexOf('\n', most);
  return text.slice(0, end > most / 2 ? end : text.lastIndexOf(' ', most)).trim();
};

const metadataText = ({ metadata }: ImportedDocument, field: string): string => {
  const value = metadata?.[field];
  return typeof value === 'string' ? value : '';
};

const copyrightOf = async (name: string): Promise<string> => {
  const folder = path.join(root, 'node_modules', name);
  const file = (await fs.readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file === undefined ? '' : await fs.readFile(path.join(folder, file), 'utf8');
  return /^\W*(copyright (?:\(c\)|©|\d).*)$/im.exec(text)?.[1]?.trim() ?? '';
};

const readmes = async (): Promise<readonly CorpusDocument[]> => {
  const found: CorpusDocument[] = [];
  for await (const document of readInstalledPackages(path.join(root, 'node_modules'))) {
    const { title, content, excerpt, tags, author } = document;
    const licence = metadataText(document, 'license');
    if (!licences.has(licence) || content.length < fewestReadmeCharacters) continue;
    found.push({
      id: `npm:${title}`,
      title,
      excerpt: excerpt ?? '',
      content: cut(content, mostReadmeCharacters),
      tags,
      origin: [
        metadataText(document, 'version'),
        licence,
        (await copyrightOf(title).catch(() => '')) || (author?.name ?? ''),
      ]
        .filter(Boolean)
        .join('; '),
    });
  }
  return choose(found, readmeCount);
};

/** What `apt-cache` prints; it takes the arguments of this script, too. */
const aptCache = (...args: readonly string[]): string =>
  execFileSync('apt-cache', [...process.argv.slice(2), ...args], { maxBuffer: 1_000_000_000 }).toString();

/** The packages of an index, each once; of the free part alone, whose descriptions may be passed on. */
const readIndex = async (index: string): Promise<readonly CorpusDocument[]> => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-corpus-'));
  try {
    const absolutePath = path.join(folder, 'Packages');
    await fs.writeFile(absolutePath, index);
    const file = { absolutePath, relativePath: 'Packages', defaultId: 'Packages' };
    const found = new Map<string, CorpusDocument>();
    for await (const record of debianControlFormat.read(file, undefined)) {
      if (!('document' in record)) continue;
      const { document } = record;
      const id = `debian:${metadataText(document, 'Package')}`;
      const { title, content, excerpt, tags } = document;
      if (found.has(id) || tags.some((tag) => /^(?:non-free|contrib)/.test(tag))) continue;
      const origin = `${metadataText(document, 'Version')}; Debian main`;
      const cutContent = cut(content ?? '', mostDescriptionCharacters);
      found.set(id, { id, title, excerpt: excerpt ?? '', content: cutContent, tags, origin });
    }
    return [...found.values()];
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
};

/** Chosen among all, then read with their long descriptions, which apt gives of packages that are named alone. */
const debianPackages = async (): Promise<readonly CorpusDocument[]> => {
  const chosen = choose(await readIndex(aptCache('dumpavail')), packageCount);
  const shown = await readIndex(aptCache('show', '--no-all-versions', ...chosen.map(({ id }) => id.slice(7))));
  if (shown.every(({ content, excerpt }) => content === excerpt)) {
    throw new Error('apt has no long descriptions on this machine; see the head of this script');
  }
  return shown;
};

const documents = [...(await readmes()), ...(await debianPackages())].toSorted((a, b) => (a.id < b.id ? -1 : 1));
const lines = documents.map((document) => `${JSON.stringify(document)}\n`);
await fs.writeFile(path.join(root, 'test/relevance/documents.jsonl'), lines);
console.log(`${documents.length} documents, ${Math.round(lines.join('').length / 1_000)} kB`);
