import type { TestProject } from 'vitest/node';
import { findElasticsearch } from './elasticsearch-service.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** One server for all files; undefined where there is none. */
    elasticsearch: string | undefined;
  }
}

/** Finds Elasticsearch for the tests that search in it. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const found = await findElasticsearch();
  if ('missing' in found) {
    if (process.env['CI'] === 'true') throw new Error(`with CI=true every server must be there: ${found.missing}`);
    console.log('[services] elasticsearch: none (see the end of this run)');
    project.provide('missing', { elasticsearch: found.missing });
    return undefined;
  }
  project.provide('elasticsearch', found.url);
  console.log(`[services] Elasticsearch: ${found.origin}`);
  return () => found.stop();
}
