import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { knowledgeLimits } from '../knowledge/input.ts';
import { cutText } from './cut-text.ts';
import { toImportedDocument, type ImportedDocument } from './imported-document.ts';
import { readTextFile } from './read-text-file.ts';

/** `package.json`, where every field but the name may be anything. */
const manifest = z.object({
  name: z.string().min(1).max(214),
  version: z.string().optional().catch(undefined),
  description: z.string().optional().catch(undefined),
  keywords: z
    .preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(z.unknown()))
    .catch([])
    .transform((given) => given.filter((word) => typeof word === 'string')),
  author: z
    .union([z.string(), z.object({ name: z.string() }).transform(({ name }) => name)])
    .optional()
    .catch(undefined),
  license: z.string().optional().catch(undefined),
  homepage: z.string().optional().catch(undefined),
});

/** `Ann Other <ann@example.com> (https://example.com)` without what is in brackets. */
const personName = (author = ''): string => cutText(author.replaceAll(/<[^>]*>|\([^)]*\)/g, '').trim(), 200);

const readPackage = async (folder: string): Promise<ImportedDocument | undefined> => {
  const names = await readdir(folder);
  const readme =
    names.find((name) => /^readme\.(?:md|markdown)$/i.test(name)) ?? names.find((name) => /^readme$/i.test(name));
  if (readme === undefined || !names.includes('package.json')) return undefined;
  const { name, description, keywords, author, version, license, homepage } = manifest.parse(
    JSON.parse(await readTextFile(path.join(folder, 'package.json'))),
  );
  const content = await readTextFile(path.join(folder, readme));
  if (content.trim() === '') return undefined;
  const checked = toImportedDocument(
    {
      title: name,
      content,
      excerpt: cutText(description?.trim() ?? '', knowledgeLimits.excerptLength),
      tags: keywords
        .map((word) => word.trim().toLowerCase())
        .filter((word) => word.length <= knowledgeLimits.tagLength)
        .slice(0, knowledgeLimits.tags),
      author: personName(author),
      version,
      license,
      homepage,
    },
    { defaultId: `npm:${name}`, contentType: 'text/markdown', defaultTitle: () => name },
  );
  return 'document' in checked ? checked.document : undefined;
};

async function* packageFolders(nodeModules: string): AsyncGenerator<string> {
  const entries = await readdir(nodeModules, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const folder = path.join(nodeModules, entry.name);
    if (entry.name.startsWith('.') || !(entry.isDirectory() || entry.isSymbolicLink())) continue;
    if (entry.name.startsWith('@')) {
      yield* packageFolders(folder);
    } else {
      yield folder;
      // Through a link lies somebody else's folder, perhaps this very one.
      if (entry.isDirectory()) yield* packageFolders(path.join(folder, 'node_modules'));
    }
  }
}

/**
 * The packages installed in a `node_modules` folder that have a README, each once, as documents: title the name, excerpt
 * the description, tags the keywords. Packages that cannot be read are passed over: they are somebody else's.
 */
export async function* readInstalledPackages(nodeModules: string): AsyncGenerator<ImportedDocument> {
  const met = new Set<string>();
  for await (const folder of packageFolders(nodeModules)) {
    const document = await readPackage(folder).catch(() => undefined);
    if (document === undefined || met.has(document.sourceId)) continue;
    met.add(document.sourceId);
    yield document;
  }
}

/** The nearest `node_modules` at or above `folder`, or undefined. */
export const findNodeModules = async (folder: string): Promise<string | undefined> => {
  const candidate = path.join(folder, 'node_modules');
  const found = await stat(candidate).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (found) return candidate;
  const parent = path.dirname(folder);
  return parent === folder ? undefined : findNodeModules(parent);
};
