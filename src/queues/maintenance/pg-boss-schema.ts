import { createRequire } from 'node:module';
import type pg from 'pg';
import { z } from 'zod';

export const pgBossSchema = 'pgboss';

const manifest = z.object({ pgboss: z.object({ schema: z.number() }) });

/** The version of the schema that the installed pg-boss works with. */
export const expectedPgBossVersion = (): number =>
  manifest.parse(createRequire(import.meta.url)('pg-boss/package.json')).pgboss.schema;

/** The version of pg-boss' schema in the database; 0 when there is none. */
export const pgBossVersion = async (client: pg.ClientBase): Promise<number> => {
  const { rows: tables } = await client.query<{ present: boolean }>(
    `SELECT to_regclass('${pgBossSchema}.version') IS NOT NULL AS present`,
  );
  if (!tables[0]?.present) return 0;
  const { rows } = await client.query<{ version: number }>(`SELECT version FROM ${pgBossSchema}.version`);
  return rows[0]?.version ?? 0;
};

/** Creates pg-boss' schema, or brings an older one up to date, without starting pg-boss. Answers whether it did anything. */
export const migratePgBoss = async (client: pg.ClientBase): Promise<boolean> => {
  const version = await pgBossVersion(client);
  if (version >= expectedPgBossVersion()) return false;
  const { getConstructionPlans, getMigrationPlans } = await import('pg-boss');
  try {
    await client.query(version === 0 ? getConstructionPlans(pgBossSchema) : getMigrationPlans(pgBossSchema, version));
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
  return true;
};
