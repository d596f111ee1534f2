import { readdirSync, readFileSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { pg_trgm } from '@electric-sql/pglite/contrib/pg_trgm';
import { unaccent } from '@electric-sql/pglite/contrib/unaccent';
import { createPgConfig } from '@electric-sql/pglite/node-postgres';
import { vector } from '@electric-sql/pglite-pgvector';
import { Pool, type QueryResultRow } from 'pg';
import { afterAll, beforeAll } from 'vitest';
import type { EmbeddingDatabase } from '../../../src/domain/embeddings/types.ts';
import { QueryMetrics } from '../../../src/lib/postgres/query-metrics.ts';
import { TransactionRunner } from '../../../src/lib/postgres/transaction.ts';
import { useDatabase } from '../../services/database.ts';

export interface VectorStorage {
  readonly name: 'bits' | 'pgvector';
  /** Gives the describe block a migrated database that stores vectors this way. */
  use(): { readonly database: EmbeddingDatabase };
}

const migrations = new URL('../../../migrations/', import.meta.url);

const migrated = async (): Promise<PGlite> => {
  const lite = await PGlite.create({ extensions: { vector, pg_trgm, unaccent } });
  for (const file of readdirSync(migrations).toSorted()) {
    const [up = ''] = readFileSync(new URL(file, migrations), 'utf8').split('-- Down Migration');
    await lite.exec(up);
  }
  return lite;
};

const onPglite: VectorStorage = {
  name: 'pgvector',
  use() {
    let lite: PGlite | undefined;
    let pool: Pool | undefined;
    let database: EmbeddingDatabase | undefined;
    beforeAll(async () => {
      lite = await migrated();
      const open = new Pool(createPgConfig(lite));
      const transactions = new TransactionRunner(open, new QueryMetrics());
      pool = open;
      database = {
        query: <R extends QueryResultRow>(text: string, values?: unknown[]) => open.query<R>(text, values),
        transaction: (fn, options) => transactions.run(fn, options),
      };
    });
    afterAll(async () => {
      await pool?.end();
      await lite?.close();
    });
    return {
      get database() {
        if (!database) throw new Error('the database exists from beforeAll to afterAll');
        return database;
      },
    };
  },
};

/** Both ways in which Postgres may store vectors: a server without pgvector, and PGlite, which has it. */
export const vectorStorages: readonly VectorStorage[] = [
  {
    name: 'bits',
    use() {
      const server = useDatabase();
      return {
        get database() {
          return server.postgres;
        },
      };
    },
  },
  onPglite,
];
