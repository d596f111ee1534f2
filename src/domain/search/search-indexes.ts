import { AppError } from '../../lib/errors/app-error.ts';
import type { SearchIndex } from './indexes/search-index.ts';

/** The indexes of this installation: that of documents, and an app's own. */
export class SearchIndexes {
  readonly #indexes: ReadonlyMap<string, SearchIndex>;

  constructor(indexes: readonly SearchIndex[]) {
    this.#indexes = new Map(indexes.map((index) => [index.name, index]));
  }

  /** Empty without Elasticsearch. */
  all(): readonly SearchIndex[] {
    return [...this.#indexes.values()];
  }

  /** @throws AppError CONFIGURATION_ERROR without Elasticsearch, NOT_FOUND for an index that nobody defines. */
  get(name: string): SearchIndex {
    const found = this.#indexes.get(name);
    if (found) return found;
    if (this.#indexes.size === 0) {
      const message = 'must be set: indexes live in Elasticsearch, and searches are answered by Postgres without it';
      throw new AppError('CONFIGURATION_ERROR', `ELASTICSEARCH_URL ${message}`, {
        faults: [{ variable: 'ELASTICSEARCH_URL', message }],
      });
    }
    const known = [...this.#indexes.keys()].join(', ');
    throw new AppError('NOT_FOUND', `there is no index ${JSON.stringify(name)}; there are: ${known}`, {
      entity: 'index',
      entityId: name,
    });
  }
}
