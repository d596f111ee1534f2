import { readFile } from 'node:fs/promises';
import { openAccess, signedIn } from '../access/route-access.ts';
import type { Api } from '../api.ts';

const files = [
  { url: '/search', file: 'search.html', type: 'text/html', access: signedIn },
  { url: '/search/search.css', file: 'search.css', type: 'text/css', access: openAccess },
  { url: '/search/search.js', file: 'search.js', type: 'text/javascript', access: openAccess },
];

/** The page at `/search`: three files over the HTTP API, under the policy of all pages. */
export const addSearchPage = async (app: Api): Promise<void> => {
  for (const { url, file, type, access } of files) {
    const content = await readFile(new URL(file, import.meta.url), 'utf8');
    app.get(url, { config: access, schema: { hide: true } }, (_request, reply) =>
      reply.type(`${type}; charset=utf-8`).header('cache-control', 'no-cache').send(content),
    );
  }
};
