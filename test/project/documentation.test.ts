import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { readProjectFile } from './read-project-file.ts';

const root = path.join(import.meta.dirname, '../..');
const examples = (await readdir(path.join(root, 'examples'))).map((name) => path.join('examples', name, 'README.md'));
const inDocs = (await readdir(path.join(root, 'docs'), { recursive: true })).map((file) => path.join('docs', file));
const pages = [...inDocs, ...examples, 'README.md'].filter(
  (file) => file.endsWith('.md') && existsSync(path.join(root, file)),
);

/** A heading as GitHub turns it into an anchor. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');

const anchorsOf = async (page: string): Promise<readonly string[]> =>
  [...(await readProjectFile(page)).matchAll(/^#+ (.+)$/gm)].map((match) => anchorOf(match[1] ?? ''));

const brokenLinks = async (page: string): Promise<readonly string[]> => {
  const links = [...(await readProjectFile(page)).matchAll(/\]\(([^)\s]+)\)/g)].flatMap((match) => match[1] ?? []);
  const checks = links
    .filter((link) => !/^[a-z]+:/.test(link))
    .map(async (link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : path.join(path.dirname(page), file);
      if (!existsSync(path.join(root, target))) return [link];
      return anchor === undefined || (await anchorsOf(target)).includes(anchor) ? [] : [link];
    });
  return (await Promise.all(checks)).flat();
};

/** The words of a command line, quotes resolved; enough of a shell for what the pages show. */
const wordsOf = (line: string): readonly string[] =>
  [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => single ?? double ?? bare ?? '');

const exampleId = '0198f1f2-7a3c-7cc0-8a3b-111111111111';
const commandsIn = async (page: string): Promise<readonly (readonly string[])[]> =>
  [...(await readProjectFile(page)).matchAll(/(?:^|`)npx treadle ([^`|#\n]+)/gm)]
    .flatMap((match) => match[1] ?? [])
    .filter((line) => !line.includes('--help'))
    .map((line) => wordsOf(line.replaceAll('$JOB', exampleId)));

describe.each(pages)('%s', (page) => {
  it('links to pages, headings and pictures that exist', async () => {
    expect(await brokenLinks(page)).toEqual([]);
  });

  it('shows commands that the command line understands', async () => {
    for (const words of await commandsIn(page)) {
      let ran = 0;
      const note = () => async () => void (ran += 1);
      const program = createProgram(note, note, false);
      await program.parseAsync([...words], { from: 'user' }).catch((error: unknown) => {
        throw new Error(`npx treadle ${words.join(' ')}`, { cause: error });
      });
      expect(ran).toBe(1);
    }
  });
});
