import { generate, PostgresDialect } from 'kysely-codegen';

/**
 * The TypeScript of `schema.generated.ts` for a migrated database: the tables and views of the schema `treadle`, without
 * the prefix (Kysely adds it), partitions and the migrations' own tables left out.
 */
export const schemaTypes = async (url: string): Promise<string> => {
  const dialect = new PostgresDialect({ defaultSchemas: ['treadle'] });
  const db = await dialect.introspector.connect({ connectionString: url, dialect });
  try {
    return await generate({
      db,
      dialect,
      defaultSchemas: ['treadle'],
      includePattern: 'treadle.*',
      excludePattern: 'treadle.migration{s,_checksums}',
      typeMapping: { int8: 'number' },
      outFile: null,
    });
  } finally {
    await db.destroy();
  }
};
