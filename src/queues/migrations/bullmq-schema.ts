import { LATEST_SCHEMA_VERSION, runMigrations } from 'bullmq';
import type pg from 'pg';

const bullmqSchema = 'bullmq';
export const expectedBullmqVersion = LATEST_SCHEMA_VERSION;

/** The version of BullMQ's schema in the database; 0 when there is none. */
export const bullmqVersion = async (client: pg.ClientBase): Promise<number> => {
  const { rows: tables } = await client.query<{ present: boolean }>(
    `SELECT to_regclass('${bullmqSchema}.migration') IS NOT NULL AS present`,
  );
  if (!tables[0]?.present) return 0;
  const { rows } = await client.query<{ version: number }>(
    `SELECT coalesce(max(version), 0)::int AS version FROM ${bullmqSchema}.migration`,
  );
  return rows[0]?.version ?? 0;
};

/** Creates BullMQ's schema, or brings an older one up to date. Answers whether it did anything. */
export const migrateBullmq = async (client: pg.ClientBase): Promise<boolean> => {
  if ((await bullmqVersion(client)) >= expectedBullmqVersion) return false;
  await runMigrations(client, bullmqSchema);
  return true;
};
