import { defineIndex, type AppIndexDefinition } from '../../../src/domain/search/define-index.ts';
import type { DocumentKey, SourceDocument } from '../../../src/domain/search/indexes/index-source.ts';
import { TableSource } from '../../../src/domain/search/indexes/table-source.ts';
import type { TestDatabase } from '../../services/database.ts';

const model = { model: 'test', dimensions: 4 };

/** Any mapping will do where nothing is written to Elasticsearch. */
export const defineTable = (
  database: TestDatabase,
  definition: Omit<AppIndexDefinition, 'mapping'>,
): Promise<TableSource> => {
  const fields = [
    ...Object.keys(definition.fields),
    ...Object.values(definition.one ?? {}).flatMap((join) => Object.keys(join.fields)),
    ...Object.keys(definition.many ?? {}),
  ];
  const mapping = Object.fromEntries(fields.map((field) => [field, { type: 'keyword' }]));
  return TableSource.open(database.postgres, defineIndex({ ...definition, mapping }), model, '');
};
export const scanAll = async (database: TestDatabase, source: TableSource): Promise<readonly SourceDocument[]> => {
  const found: SourceDocument[] = [];
  for (let after: DocumentKey | undefined; ;) {
    const page = await source.scan(database.postgres, after);
    after = page.at(-1);
    if (after === undefined) return found;
    found.push(...page);
  }
};
export const readAll = async (
  database: TestDatabase,
  source: TableSource,
  keys: readonly DocumentKey[],
): Promise<readonly SourceDocument[]> => {
  const found: SourceDocument[] = [];
  for await (const page of source.read(database.postgres, keys)) found.push(...page);
  return found;
};
export const fieldsOf = async (database: TestDatabase, source: TableSource): Promise<readonly unknown[]> =>
  (await scanAll(database, source)).map(({ json }) => JSON.parse(json) as unknown);
