import { Kysely, PostgresDialect as KyselyDialect } from 'kysely';
import { generate, PostgresDialect } from 'kysely-codegen';
import { Pool } from 'pg';

/**
 * The TypeScript of `schema.generated.ts` for a migrated database: the tables and views of the schema `treadle`, without
 * the prefix (Kysely adds it), partitions and the migrations' own tables left out.
 */
export const schemaTypes = async (url: string): Promise<string> => {
  const pool = new Pool({ connectionString: url });
  pool.on('error', () => undefined);
  const db = new Kysely<unknown>({ dialect: new KyselyDialect({ pool }) });
  try {
    return await generate({
      db,
      dialect: new PostgresDialect({ defaultSchemas: ['treadle'] }),
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
