import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import type { Transaction } from '../../../src/lib/postgres/transaction.ts';
import { useDatabase } from '../../services/database.ts';
import { TcpProxy } from '../../services/tcp-proxy.ts';

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
    const stats = database.postgres.getStats().get('deadlock');
    expect(stats).toMatchObject({ committed: 2, rolledBack: 0 });
    // Where the one that is run again comes first to the row they both want, they meet once more.
    expect(stats?.retried).toBeGreaterThanOrEqual(1);
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

  test('whose conflict shows at COMMIT only is run again, and neither is lost', async () => {
    const bothHaveRead = meeting(2);
    /** Allowed while both together have enough: as if one of them came after the other. */
    const withdraw = (id: number) =>
      database.postgres.transaction(
        async (tx) => {
          const { rows } = await tx.query<{ sum: number }>('SELECT sum(amount)::int AS sum FROM accounts');
          await bothHaveRead();
          if ((rows[0]?.sum ?? 0) < 200) return 'refused';
          await add(tx, id, -150);
          return 'paid';
        },
        { isolation: 'serializable', name: 'withdraw' },
      );
    const answers = await Promise.all([withdraw(1), withdraw(2)]);
    expect(answers.toSorted()).toEqual(['paid', 'refused']);
    expect((await balance(1)) + (await balance(2))).toBe(50);
    expect(database.postgres.getStats().get('withdraw')).toMatchObject({ committed: 2, retried: 1 });
  });

  test('is given up after its retries', async () => {
    let runs = 0;
    const never = database.postgres.transaction(
      async (tx) => {
        runs += 1;
        await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = 'serialization_failure'; END $$`);
      },
      { maxRetries: 2, name: 'never' },
    );
    await expect(never).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', retryable: true });
    expect(runs).toBe(3);
    expect(database.postgres.getStats().get('never')).toMatchObject({ committed: 0, rolledBack: 1, retried: 2 });
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

  test('whose connection is lost when COMMIT was sent is not run again, for it may have been committed', async () => {
    await database.query(`
      CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait_for_test()`);
    const proxy = new TcpProxy(database.url);
    await proxy.open();
    const remote = new Postgres(
      { url: proxy.url, directUrl: proxy.url, poolSize: 1, statementTimeoutMs: 0, applicationName: 'remote' },
      createLog({ level: 'silent' }),
    );
    const holder = await database.postgres.pool.connect();
    try {
      await holder.query('SELECT pg_advisory_lock(1)');
      let runs = 0;
      const moved = remote.transaction(async (tx) => {
        runs += 1;
        await add(tx, 1, 1);
      });
      const lost = moved.catch((error: Error) => error.message);
      const committing = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
      await expect.poll(() => database.query(committing), { timeout: 5_000 }).toHaveLength(1);
      await proxy.close();
      expect(await lost).toBe('Connection terminated unexpectedly');
      await holder.query('SELECT pg_advisory_unlock(1)');
      await expect.poll(() => balance(1), { timeout: 5_000 }).toBe(101);
      expect(runs).toBe(1);
    } finally {
      holder.release(true);
      await proxy.close();
      await remote.close();
      await database.query('DROP TRIGGER slow_commit ON accounts');
    }
  });

  test('that goes on after a statement has failed commits nothing, and says so', async () => {
    const careless = database.postgres.transaction(async (tx) => {
      await add(tx, 1, 1);
      await tx.query('SELECT 1 / 0').catch(() => undefined);
      return 'done';
    });
    await expect(careless).rejects.toMatchObject({ code: 'DATA_CONSISTENCY_ERROR' });
    expect(await balance(1)).toBe(100);
  });

  test('whose statements together take longer than its time-out is undone, once', async () => {
    let runs = 0;
    const slow = database.postgres.transaction(
      async (tx) => {
        runs += 1;
        const end = performance.now() + 60;
        await add(tx, 1, 1);
        while (performance.now() < end) await tx.query('SELECT 1');
      },
      { timeoutMs: 50 },
    );
    await expect(slow).rejects.toMatchObject({ code: 'TIMEOUT', details: { timeoutMs: 50 } });
    expect([runs, await balance(1)]).toEqual([1, 100]);
  });

  test('that is idle for longer than its time-out is undone, once', async () => {
    let runs = 0;
    const idle = database.postgres.transaction(
      async (tx) => {
        runs += 1;
        await add(tx, 1, 1);
        const ended = `SELECT FROM pg_stat_activity WHERE pid = ${await backendOf(tx)}`;
        await expect.poll(() => database.query(ended), { timeout: 5_000 }).toEqual([]);
        await add(tx, 2, 1);
      },
      { timeoutMs: 50 },
    );
    await expect(idle).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect([runs, await balance(1)]).toEqual([1, 100]);
  });

  test('whose statement takes longer than its time-out is undone', async () => {
    const slow = database.postgres.transaction(
      async (tx) => {
        await add(tx, 1, 1);
        await tx.query('SELECT pg_sleep(5)');
      },
      { timeoutMs: 50 },
    );
    await expect(slow).rejects.toMatchObject({ code: 'TIMEOUT', cause: { code: '57014' } });
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
