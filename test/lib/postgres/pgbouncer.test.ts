import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkInstallation } from '../../../src/cli/check-installation.ts';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { toAppError } from '../../../src/lib/errors/classify.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { openDatabase } from '../../../src/lib/postgres/open-database.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { useDatabase } from '../../services/database.ts';
import { describeWithPgbouncer, Pgbouncer, settingsOfSessions, usePgbouncer } from '../../services/pgbouncer.ts';

const log = createLog({ level: 'silent' });
const limitMs = 300;
const limited = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => toAppError(error).code,
  );

describeWithPgbouncer('behind pgbouncer in transaction mode', (program) => {
  const database = useDatabase({ schema: 'empty' });
  const pooler = usePgbouncer(program, database, { poolSize: 2 });
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = new Postgres(
      {
        url: pooler.url,
        directUrl: database.url,
        poolSize: 20,
        statementTimeoutMs: limitMs,
        applicationName: 'pooled',
      },
      log,
    );
    await database.query('CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL CHECK (amount >= 0))');
    await database.query('INSERT INTO accounts SELECT id, 100 FROM generate_series(1, 10) AS id');
  });
  afterAll(() => postgres?.close());

  test('a statement that takes longer than its time-out ends, whichever way it was asked', async () => {
    expect(await limited(postgres.query('SELECT pg_sleep(5)'))).toBe('TIMEOUT');
    expect(await limited(postgres.query('SELECT pg_sleep($1)', [5]))).toBe('TIMEOUT');
    expect(await limited(postgres.queryPrepared('SELECT pg_sleep($1)', [5]))).toBe('TIMEOUT');
    expect(await limited(sql`SELECT pg_sleep(5)`.execute(postgres.db))).toBe('TIMEOUT');
    const byKysely = postgres.db.transaction().execute((tx) => sql`SELECT pg_sleep(5)`.execute(tx));
    expect(await limited(byKysely)).toBe('TIMEOUT');
    const byTransaction = postgres.transaction((tx) => tx.query('SELECT pg_sleep(5)'), { timeoutMs: limitMs });
    expect(await limited(byTransaction)).toBe('TIMEOUT');
    expect(await postgres.query('SELECT $1::int AS n', [1])).toMatchObject({ rows: [{ n: 1 }], rowCount: 1 });
    expect(postgres.getConnectionStatus()).toMatchObject({ active: 0, waiting: 0 });
  });

  test('errors are those of the statement, and nothing of it stays', async () => {
    const overdraw = postgres.query('UPDATE accounts SET amount = amount - 200 WHERE id = $1', [1]);
    await expect(overdraw).rejects.toMatchObject({ code: '23514' });
    await expect(postgres.query('SELECT FROM nowhere')).rejects.toMatchObject({ code: '42P01' });
    const half = postgres.db.transaction().execute(async (tx) => {
      await sql`UPDATE accounts SET amount = 7 WHERE id = 1`.execute(tx);
      throw new Error('no');
    });
    await expect(half).rejects.toThrow('no');
    expect(await database.query('SELECT amount FROM accounts WHERE id = 1')).toEqual([{ amount: 100 }]);
  });

  test('of hundreds of statements and transactions at once on two connections each is whole, and none leaves a setting', async () => {
    const move = (from: number, to: number) =>
      postgres.transaction(
        async (tx) => {
          await tx.query('UPDATE accounts SET amount = amount - 1 WHERE id = $1', [from]);
          await tx.query('UPDATE accounts SET amount = amount + 1 WHERE id = $1', [to]);
        },
        { isolation: from % 2 === 0 ? 'serializable' : 'read committed', maxRetries: 50, timeoutMs: 20_000 },
      );
    const work = Array.from({ length: 300 }, async (_, n) => {
      if (n % 3 === 0) return move((n % 9) + 1, ((n + 4) % 9) + 1);
      if (n % 3 === 1) return postgres.queryPrepared('SELECT amount FROM accounts WHERE id = $1', [(n % 10) + 1]);
      return sql`SELECT sum(amount)::int AS sum FROM accounts`.execute(postgres.db).then(({ rows }) => rows[0]);
    });
    const answers = await Promise.all(work);
    expect(answers.filter((_, n) => n % 3 === 2)).toEqual(Array.from({ length: 100 }, () => ({ sum: 1_000 })));
    const untouched = { settings: null, prepared: 0, channels: 0 };
    expect(await settingsOfSessions(pooler.url, 2)).toEqual([untouched, untouched]);
  });

  test('notifications arrive around it', async () => {
    const subscription = new Subscription(postgres, log);
    const heard: string[] = [];
    try {
      await subscription.listen('pooled_news', (payload) => heard.push(payload));
      await postgres.query(`SELECT pg_notify('pooled_news', 'here')`);
      await expect.poll(() => heard).toEqual(['here']);
    } finally {
      await subscription.close();
    }
  });

  test('without DATABASE_DIRECT_URL the start is refused, and says what to set', async () => {
    const open = (env: Readonly<Record<string, string>>) => openDatabase(loadConfig(env), log, { mode: 'attach' });
    const told = { code: 'CONFIGURATION_ERROR', message: expect.stringContaining('set DATABASE_DIRECT_URL') };
    await expect(open({ DATABASE_URL: pooler.url })).rejects.toMatchObject(told);
    const checks = await checkInstallation(loadConfig({ DATABASE_URL: pooler.url }), log);
    const found = checks.find(({ name }) => name === 'DATABASE_URL');
    expect(found).toMatchObject({ status: 'failed', detail: told.message });
    const lenient = await Pgbouncer.start(program, database.url, {
      poolSize: 2,
      lines: ['ignore_startup_parameters = options, statement_timeout'],
    });
    try {
      await expect(open({ DATABASE_URL: lenient.url })).rejects.toMatchObject(told);
      const twice = open({ DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: lenient.url });
      await expect(twice).rejects.toThrow(/DATABASE_DIRECT_URL .*: a pooler .* must be the server itself/);
    } finally {
      await lenient.stop();
    }
    const opened = await open({ DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: database.url });
    expect(opened).toMatchObject({ url: pooler.url, directUrl: database.url });
  });
});
