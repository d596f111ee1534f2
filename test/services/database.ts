import type pg from 'pg';
import { afterAll, beforeAll, inject } from 'vitest';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { createDatabase, dropDatabaseAt } from './template-database.ts';

export interface TestDatabase {
  /** Also the direct URL. Readable from `beforeAll` on. */
  readonly url: string;
  /** Made when first asked for, closed after the file. */
  readonly postgres: Postgres;
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
}

export interface UseDatabaseOptions {
  /** `empty`: without any schema, for tests of migrations. */
  readonly schema?: 'migrated' | 'empty';
}

const ready = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the database of this file exists from beforeAll to afterAll');
  return value;
};

/**
 * Gives the describe block or file a database of its own, dropped afterwards. Connections that are still open then fail
 * the run. Call it once, at the top, before other hooks; end what uses the database in `afterAll`.
 */
export const useDatabase = ({ schema = 'migrated' }: UseDatabaseOptions = {}): TestDatabase => {
  let url: string | undefined;
  let postgres: Postgres | undefined;
  beforeAll(async () => {
    const server = inject('postgres');
    url = await createDatabase(server.url, schema === 'empty' ? 'template0' : server.template);
  });
  afterAll(async () => {
    await postgres?.close();
    if (url === undefined) return;
    const left = await dropDatabaseAt(inject('postgres').url, url);
    if (left.length > 0) throw new Error(`left connected to the database of this file: ${left.join(', ')}`);
  });
  return {
    get url() {
      return ready(url);
    },
    get postgres() {
      postgres ??= new Postgres(
        { url: ready(url), directUrl: ready(url), poolSize: 10, statementTimeoutMs: 30_000, applicationName: 'test' },
        createLog({ level: 'silent' }),
      );
      return postgres;
    },
    async query<R extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      const { rows } = await this.postgres.query<R>(text, values);
      return rows;
    },
  };
};
