import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Postgres } from '../../../src/lib/postgres/postgres.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { PrivatePostgres } from '../../services/private-postgres.ts';

const log = createLog({ level: 'silent' });
let server: PrivatePostgres;
let postgres: Postgres;

beforeAll(async () => {
  server = await PrivatePostgres.start();
  const { url } = server;
  postgres = new Postgres(
    { url, directUrl: url, poolSize: 8, statementTimeoutMs: 30_000, applicationName: 'restart' },
    log,
  );
  await postgres.query('CREATE TABLE notes (n text PRIMARY KEY)');
});
beforeEach(() => postgres.query('TRUNCATE notes'));
afterAll(async () => {
  await postgres?.close();
  await server?.remove();
});

/** Writes until it is stopped, by single statements and by transactions; keeps what was acknowledged, and what may have been. */
const writeOn = (name: string) => {
  const acknowledged: string[] = [];
  const unknown: string[] = [];
  const stopping = new AbortController();
  const insert = 'INSERT INTO notes VALUES ($1)';
  const write = async (): Promise<void> => {
    for (let count = 0; !stopping.signal.aborted; count += 1) {
      const n = `${name}-${count}`;
      const written =
        count % 2 === 0 ? postgres.query(insert, [n]) : postgres.transaction((tx) => tx.query(insert, [n]));
      await written.then(
        () => acknowledged.push(n),
        () => unknown.push(n),
      );
    }
  };
  const running = write();
  const stop = (): Promise<void> => {
    stopping.abort();
    return running;
  };
  return { acknowledged, unknown, stop };
};

test.for(['SIGKILL', 'SIGINT'] as const)(
  'after a %s of Postgres under load everything goes on by itself, and nothing acknowledged is lost',
  async (signal) => {
    const subscription = new Subscription(postgres, log);
    const heard: string[] = [];
    let reconnected = 0;
    await subscription.listen(
      'news',
      (payload) => heard.push(payload),
      () => (reconnected += 1),
    );
    const writers = Array.from({ length: 6 }, (_, n) => writeOn(`${signal}-${n}`));
    const acknowledged = () => Math.min(...writers.map((writer) => writer.acknowledged.length));
    try {
      await expect.poll(acknowledged, { timeout: 20_000 }).toBeGreaterThan(5);
      let runs = 0;
      // Open when the server ends, with a statement before it and one after.
      await postgres.transaction(async (tx) => {
        runs += 1;
        await tx.query(`INSERT INTO notes VALUES ('before')`);
        if (runs === 1) {
          await server.stop(signal);
          await server.start();
        }
        await tx.query(`INSERT INTO notes VALUES ('after')`);
      });
      expect(runs).toBe(2);
      const before = acknowledged();
      await expect.poll(acknowledged, { timeout: 20_000 }).toBeGreaterThan(before + 5);
      await expect.poll(() => reconnected, { timeout: 20_000 }).toBeGreaterThan(0);
      await postgres.query(`SELECT pg_notify('news', 'again')`);
      await expect.poll(() => heard).toEqual(['again']);
    } finally {
      await Promise.all(writers.map((writer) => writer.stop()));
      await subscription.close();
    }
    const { rows } = await postgres.query<{ n: string }>('SELECT n FROM notes');
    const kept = new Set(rows.map(({ n }) => n));
    const all = [...writers.flatMap((writer) => writer.acknowledged), 'before', 'after'];
    expect(all.filter((n) => !kept.has(n))).toEqual([]);
    const possible = new Set([...all, ...writers.flatMap((writer) => writer.unknown)]);
    expect([...kept].filter((n) => !possible.has(n))).toEqual([]);
    expect(postgres.getConnectionStatus()).toMatchObject({ active: 0, waiting: 0 });
  },
);
