import { expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { readMigrationFiles } from '../../../src/lib/migrations/migration-files.ts';
import { checkSchema, migrateAll, migrateDownBy, statusAll } from '../../../src/queues/migrations/migrate-all.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });
const log = createLog({ level: 'silent' });

const schema = (): Promise<unknown[]> =>
  database.query(
    `SELECT 'column' AS kind, format('%s.%s %s %s', table_name, column_name, data_type, is_nullable) AS what
       FROM information_schema.columns WHERE table_schema = 'treadle' AND table_name NOT LIKE 'finished_jobs\\_%'
     UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc AS p WHERE pronamespace = 'treadle'::regnamespace
     UNION ALL SELECT 'index', indexname FROM pg_indexes WHERE schemaname = 'treadle' AND tablename NOT LIKE 'finished_jobs\\_%'
     UNION ALL SELECT 'trigger', tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid
       WHERE relnamespace = 'treadle'::regnamespace AND NOT tgisinternal
     UNION ALL SELECT 'type', typname FROM pg_type WHERE typnamespace = 'treadle'::regnamespace AND typtype = 'e'
     ORDER BY 1, 2`,
  );

test('an empty database is refused by a start, naming the command, and brought up to date by it', async () => {
  await expect(checkSchema(database.url)).rejects.toMatchObject({
    code: 'SCHEMA_MISMATCH',
    message: expect.stringContaining('treadle migrate up'),
    details: { command: 'treadle migrate up', actual: 'none' },
  });
  const files = (await readMigrationFiles()).map(({ name }) => name);
  expect(await migrateAll(database.url, log)).toEqual([...files, 'bullmq', 'pgboss']);
  await checkSchema(database.url);
  expect(await migrateAll(database.url, log)).toEqual([]);
  const { bullmq, pgBoss, upToDate } = await statusAll(database.url);
  expect(upToDate).toBe(true);
  expect(bullmq.version).toBe(bullmq.expected);
  expect(pgBoss.version).toBe(pgBoss.expected);
});

test('every migration can be taken back and applied again, and gives the same schema', async () => {
  await migrateAll(database.url, log);
  const before = await schema();
  const count = (await readMigrationFiles()).length;
  expect(await migrateDownBy(database.url, log, count)).toHaveLength(count);
  const left = (await schema()).filter((row) => !JSON.stringify(row).includes('migration'));
  expect(left).toEqual([]);
  await expect(checkSchema(database.url)).rejects.toMatchObject({ code: 'SCHEMA_MISMATCH' });
  await migrateAll(database.url, log);
  expect(await schema()).toEqual(before);
});

test('large payloads are with their jobs again when the table that keeps them is taken back', async () => {
  await migrateAll(database.url, log);
  const names = (await readMigrationFiles()).map(({ name }) => name);
  await database.query(
    `INSERT INTO treadle.contracts (name, queue, attempts, timeout_ms, priority, deduplicate_by, durability, payload_schema)
     VALUES ('tests.large', 'default', 1, 1000, 5, '{}', 'ledger', '{}')`,
  );
  await database.query(`SELECT treadle.enqueue('tests.large', jsonb_build_object('text', repeat('x', 70000)))`);
  await migrateDownBy(database.url, log, names.length - names.indexOf('013_enqueue'));
  expect(await database.query(`SELECT length(payload ->> 'text') AS length FROM treadle.jobs`)).toEqual([
    { length: 70_000 },
  ]);
  await database.query('DELETE FROM treadle.jobs; DELETE FROM treadle.contracts');
});

test('a database that a newer Treadle has migrated is refused by a start', async () => {
  await migrateAll(database.url, log);
  await database.query(`INSERT INTO treadle.migrations (name, run_on) VALUES ('999_from_the_future', now())`);
  await expect(checkSchema(database.url)).rejects.toMatchObject({
    code: 'SCHEMA_MISMATCH',
    message: expect.stringContaining('999_from_the_future'),
  });
  await expect(migrateAll(database.url, log)).rejects.toMatchObject({ code: 'SCHEMA_MISMATCH' });
});
