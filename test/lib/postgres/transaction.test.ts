import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import type { Transaction } from '../../../src/lib/postgres/transaction.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });

const balance = async (id: number): Promise<number> => {
  const [row] = await database.query<{ amount: number }>('SELECT amount FROM accounts WHERE id = $1', [id]);
  if (!row) throw new Error(`there is no account ${id}`);
  return row.amount;
};
const add = (tx: Transaction, id: number, amount: number): Promise<unknown> =>
  tx.query('UPDATE accounts SET amount = amount + $2 WHERE id = $1', [id, amount]);
const backendOf = async (tx: Transaction): Promise<number> => {
  const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid ?? 0;
};
const terminate = async (pid: number): Promise<void> => {
  await database.query('SELECT pg_terminate_backend($1)', [pid]);
  await expect
    .poll(() => database.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid]), { timeout: 5_000 })
    .toEqual([]);
};

/** Both come together: the first `parties` callers wait for each other, later ones pass. */
const meeting = (parties: number): (() => Promise<void>) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let arrived = 0;
  return () => {
    arrived += 1;
    if (arrived >= parties) resolve();
    return promise;
  };
};

beforeAll(() => database.query('CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL)'));
beforeEach(() => database.query('TRUNCATE accounts; INSERT INTO accounts VALUES (1, 100), (2, 100)'));

describe('a transaction', () => {
  test('commits what it did and answers what it returns', async () => {
    const answer = await database.postgres.transaction(async (tx) => {
      await add(tx, 1, -10);
      await add(tx, 2, 10);
      return 'moved';
    });
    expect([answer, await balance(1), await balance(2)]).toEqual(['moved', 90, 110]);
  });

  test('undoes everything when it throws, and throws that', async () => {
    const refusal = new AppError('FORBIDDEN', 'no', {});
    const moved = database.postgres.transaction(async (tx) => {
      await add(tx, 1, -10);
      throw refusal;
    });
    await expect(moved).rejects.toBe(refusal);
    expect(await balance(1)).toBe(100);
  });

  test('that deadlocks is run again, and both commit', async () => {
    const bothHoldOne = meeting(2);
    const move = (from: number, to: number) =>
      database.postgres.transaction(
        async (tx) => {
          await add(tx, from, -10);
          await bothHoldOne();
          await add(tx, to, 10);
        },
        { name: 'deadlock' },
      );
    await Promise.all([move(1, 2), move(2, 1)]);
    expect([await balance(1), await balance(2)]).toEqual([100, 100]);
    expect(database.postgres.getStats().get('deadlock')).toMatchObject({ committed: 2, rolledBack: 0, retried: 1 });
  });

  test('that cannot be serialized is run again, and no update is lost', async () => {
    const bothHaveRead = meeting(2);
    const increase = () =>
      database.postgres.transaction(
        async (tx) => {
          const { rows } = await tx.query<{ amount: number }>('SELECT amount FROM accounts WHERE id = 1');
          await bothHaveRead();
          await tx.query('UPDATE accounts SET amount = $1 WHERE id = 1', [(rows[0]?.amount ?? 0) + 1]);
        },
        { isolation: 'repeatable read', name: 'increase' },
      );
    await Promise.all([increase(), increase()]);
    expect(await balance(1)).toBe(102);
    expect(database.postgres.getStats().get('increase')).toMatchObject({ committed: 2, retried: 1 });
  });

  test('is given up after its retries', async () => {
    let runs = 0;
    const never = database.postgres.transaction(
      async (tx) => {
        runs += 1;
        await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = 'serialization_failure'; END $$`);
      },
      { maxRetries: 2 },
    );
    await expect(never).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', retryable: true });
    expect(runs).toBe(3);
  });

  test('whose connection is lost before COMMIT is run again on another', async () => {
    const backends: number[] = [];
    await database.postgres.transaction(async (tx) => {
      backends.push(await backendOf(tx));
      await add(tx, 1, 1);
      if (backends.length === 1) await terminate(backends[0] ?? 0);
      await add(tx, 2, 1);
    });
    expect(new Set(backends).size).toBe(2);
    expect([await balance(1), await balance(2)]).toEqual([101, 101]);
  });

  test('whose statement takes longer than its time-out is undone', async () => {
    const slow = database.postgres.transaction(
      async (tx) => {
        await add(tx, 1, 1);
        await tx.query('SELECT pg_sleep(5)');
      },
      { timeoutMs: 50 },
    );
    await expect(slow).rejects.toMatchObject({ code: '57014' });
    expect(await balance(1)).toBe(100);
  });

  test('whose ROLLBACK fails does not give its connection back to the pool', async () => {
    let backend = 0;
    const failed = database.postgres.transaction(async (tx) => {
      backend = await backendOf(tx);
      await terminate(backend);
      throw new Error('and then something else goes wrong');
    });
    await expect(failed).rejects.toThrow('something else');
    const { pool } = database.postgres;
    const clients = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
    const pids = await Promise.all(
      clients.map(
        async (client) => (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid,
      ),
    );
    for (const client of clients) client.release();
    expect(pids).not.toContain(backend);
    expect(database.postgres.getConnectionStatus()).toMatchObject({ active: 0, waiting: 0 });
  });
});

describe('a nested transaction', () => {
  test('that throws undoes only what it did', async () => {
    await database.postgres.transaction(async (tx) => {
      await add(tx, 1, 1);
      const inner = tx.nested(async (nested) => {
        await add(nested, 1, 1_000);
        await nested.query('SELECT 1 / 0');
      });
      await expect(inner).rejects.toMatchObject({ code: '22012' });
      await tx.nested((nested) => add(nested, 2, 1));
    });
    expect([await balance(1), await balance(2)]).toEqual([101, 101]);
  });

  test('may hold another one', async () => {
    await database.postgres.transaction((tx) =>
      tx.nested(async (outer) => {
        await add(outer, 1, 1);
        const inner = outer.nested(async (deep) => {
          await add(deep, 1, 1_000);
          throw new Error('no');
        });
        await expect(inner).rejects.toThrow('no');
        await add(outer, 2, 1);
      }),
    );
    expect([await balance(1), await balance(2)]).toEqual([101, 101]);
  });

  test('is undone with the outer one', async () => {
    const outer = database.postgres.transaction(async (tx) => {
      await tx.nested((nested) => add(nested, 1, 1));
      throw new Error('no');
    });
    await expect(outer).rejects.toThrow('no');
    expect(await balance(1)).toBe(100);
  });
});

test('a connection that breaks while idle is replaced, and nothing is thrown', async () => {
  const [row] = await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const { Client } = await import('pg');
  const other = new Client({ connectionString: database.url });
  await other.connect();
  await other.query('SELECT pg_terminate_backend($1)', [row?.pid]);
  await other.end();
  await expect.poll(() => balance(1), { timeout: 5_000 }).toBe(100);
});

test('bigint is read as a number', async () => {
  expect(await database.query('SELECT 9007199254740991::bigint AS big')).toEqual([{ big: 9_007_199_254_740_991 }]);
});
