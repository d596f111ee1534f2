import type { TestProject } from 'vitest/node';
import { findElasticsearchProgram, missingElasticsearch, type ElasticsearchProgram } from './elasticsearch-program.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** For tests that kill an Elasticsearch of their own; undefined where there is none. */
    elasticsearchProgram: ElasticsearchProgram | undefined;
  }
}

/** Finds the Elasticsearch that tests may start and kill. */
export default async function setup(project: TestProject): Promise<void> {
  const program = await findElasticsearchProgram();
  if (program) {
    project.provide('elasticsearchProgram', program);
    return;
  }
  if (process.env['CI'] === 'true') throw new Error(`with CI=true every server must be there: ${missingElasticsearch}`);
  console.log('[services] elasticsearch-server: none (see the end of this run)');
  project.provide('missing', { 'elasticsearch-server': missingElasticsearch });
}
