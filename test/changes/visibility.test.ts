import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import { Replicator } from '../../src/changes/replicator.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { migrateAll } from '../../src/queues/migrations/migrate-all.ts';
import { PrivatePostgres } from '../services/private-postgres.ts';

const log = createLog({ level: 'silent' });
const slot = 'visibility';
let server: PrivatePostgres;
let postgres: Postgres;

/** Whoever wants it waits for a standby that never comes: its commit is in the log, and nobody can see it. */
const holdCommits = async (standby: string): Promise<void> => {
  await postgres.query(`ALTER SYSTEM SET synchronous_standby_names = '${standby}'`);
  await postgres.query('SELECT pg_reload_conf()');
};

beforeAll(async () => {
  server = await PrivatePostgres.start();
  await migrateAll(server.url, log);
  const { url } = server;
  postgres = new Postgres(
    { url, directUrl: url, poolSize: 5, statementTimeoutMs: 30_000, applicationName: 'test' },
    log,
  );
  await postgres.query('CREATE TABLE public.item (id integer PRIMARY KEY)');
  await postgres.query(`ALTER ROLE treadle SET synchronous_commit = 'local'`);
  await postgres.close();
  postgres = new Postgres(
    { url, directUrl: url, poolSize: 5, statementTimeoutMs: 30_000, applicationName: 'test' },
    log,
  );
});
afterAll(async () => {
  await postgres.close();
  await server.remove();
});

test('a sink is told of a change only when it can see it', async () => {
  const found: number[] = [];
  const sink: Sink = {
    name: 'reader',
    watches: [
      {
        schema: 'public',
        table: 'item',
        kinds: ['item'],
        entitiesOf: (row) => [{ kind: 'item', workspaceId: '', id: row('id') ?? '' }],
      },
    ],
    apply: async ({ entities }: AppliedBatch) => {
      const ids = entities.map(({ id }) => id);
      const { rows } = await postgres.query('SELECT FROM public.item WHERE id = ANY ($1::integer[])', [ids]);
      found.push(rows.length);
    },
    startOver: () => Promise.resolve(),
  };
  const tables = [{ schema: 'public', table: 'item', identity: ['id'], columns: ['id'] }];
  const publications = [{ name: 'items', tables }];
  const replicator = new Replicator({ postgres, log, sinks: [sink], slot, publications, statusMs: 50 });
  replicator.start();
  const [writer, probe] = [await postgres.connectDirect('writer'), await postgres.connectDirect('probe')];
  const released = new AbortController();
  try {
    await expect.poll(() => replicator.status.state, { timeout: 20_000 }).toBe('streaming');
    await holdCommits('nobody');
    await writer.query(`SET synchronous_commit = 'on'`);
    await probe.query(`SET synchronous_commit = 'on'`);
    const held = async (who: string): Promise<boolean> =>
      (
        await postgres.query(`SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'`, [
          `test:${who}`,
        ])
      ).rowCount === 1;
    // The server begins to hold commits some time after it was told to.
    const probing = (async () => {
      while (!released.signal.aborted) await probe.query(`SELECT pg_logical_emit_message(true, 'probe', '')`);
    })();
    await expect.poll(() => held('probe'), { timeout: 20_000 }).toBe(true);
    const committed = writer.query('INSERT INTO public.item VALUES (1)');
    await expect.poll(() => held('writer'), { timeout: 20_000 }).toBe(true);
    // The replicator has received it, and had time to tell the sink.
    const { rows } = await postgres.query<{ now: string; lsn: string }>(
      'SELECT clock_timestamp()::text AS now, pg_current_wal_flush_lsn()::text AS lsn',
    );
    const heard = `SELECT FROM pg_stat_replication WHERE write_lsn >= $1::pg_lsn AND reply_time > $2::timestamptz + interval '400 ms'`;
    await expect
      .poll(async () => (await postgres.query(heard, [rows[0]?.lsn, rows[0]?.now])).rowCount, { timeout: 20_000 })
      .toBe(1);
    expect(found).toEqual([]);
    released.abort();
    await holdCommits('');
    await Promise.all([committed, probing]);
    await expect.poll(() => found, { timeout: 20_000 }).toEqual([1]);
  } finally {
    released.abort();
    await holdCommits('');
    await writer.end();
    await probe.end();
    await replicator.close();
  }
});
