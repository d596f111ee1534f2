import { describe } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import type { TestDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';
import { SearchWorld } from './search-world.ts';

/** Runs the tests of what every backend promises against each of them. */
export const onEachBackend = (database: TestDatabase, tests: (world: SearchWorld) => void): void => {
  describe('[postgres]', () => {
    tests(new SearchWorld(database));
  });
  describe.skipIf(elasticsearchUrl === '')('[elasticsearch]', () => {
    tests(new SearchWorld(database, { searched: useIndex(database, new LocalEmbedder()) }));
  });
};
