import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import { Replicator, type ReplicatorState } from '../../src/changes/replicator.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { readSlot } from '../../src/lib/replication/slot.ts';
import { runTreadle } from '../cli/run-treadle.ts';
import { PrivatePostgres } from '../services/private-postgres.ts';

const log = createLog({ level: 'silent' });

/** Holds how often it had to read everything again, and what it was told of. */
class Listener implements Sink {
  readonly name = 'listener';
  readonly watches = [
    {
      schema: 'public',
      table: 'item',
      kinds: ['item'],
      entitiesOf: (row: (column: string) => string | null | undefined) => [
        { kind: 'item', workspaceId: '', id: row('id') ?? '' },
      ],
    },
  ];
  overs = 0;
  readonly heard: string[] = [];

  apply({ entities }: AppliedBatch): Promise<void> {
    this.heard.push(...entities.map(({ id }) => id));
    return Promise.resolve();
  }

  startOver(): Promise<void> {
    this.overs += 1;
    return Promise.resolve();
  }
}

const open = (url: string): Postgres =>
  new Postgres({ url, directUrl: url, poolSize: 5, statementTimeoutMs: 30_000, applicationName: 'test' }, log);
const follow = (postgres: Postgres, sink: Sink): Replicator =>
  new Replicator({
    postgres,
    log,
    sinks: [sink],
    slot: 'of_the_test',
    publications: [{ name: 'items', tables: [{ schema: 'public', table: 'item', identity: ['id'], columns: ['id'] }] }],
    statusMs: 50,
    heartbeatMs: 100,
  });
const reaches = async (replicator: Replicator, state: ReplicatorState): Promise<void> => {
  await expect.poll(() => replicator.status.state, { timeout: 30_000, interval: 20 }).toBe(state);
};
const count = async (postgres: Postgres, query: string): Promise<number> => (await postgres.query(query)).rows.length;

describe('a server', () => {
  let server: PrivatePostgres;
  let postgres: Postgres;
  let env: Record<string, string>;
  const set = async (statement: string): Promise<void> => {
    const client = new Client({ connectionString: server.url });
    await client.connect();
    await client.query(statement);
    await client.end();
  };
  beforeAll(async () => {
    server = await PrivatePostgres.start({ wal_level: 'replica' });
    env = { DATABASE_URL: server.url, ELASTICSEARCH_URL: 'http://127.0.0.1:9' };
    const migrated = await runTreadle(['migrate', 'up'], { env });
    if (migrated.exitCode !== 0) throw new Error(migrated.stderr);
    postgres = open(server.url);
    await postgres.query('CREATE TABLE public.item (id integer PRIMARY KEY)');
  });
  afterAll(async () => {
    await postgres?.close();
    await server?.remove();
  });

  const statement = "run ALTER SYSTEM SET wal_level = 'logical'; and restart Postgres";

  test('with wal_level=replica is told the statement that helps, everywhere, and everything else works', async () => {
    const sink = new Listener();
    const replicator = follow(postgres, sink);
    replicator.start();
    try {
      await reaches(replicator, 'unavailable');
      expect(replicator.status.problem).toContain(statement);
      const check = await runTreadle(['check'], { env });
      expect(check.exitCode).toBe(1);
      expect(check.stdout).toContain(statement);
      const health = await runTreadle(['health', '--json'], { env });
      expect(JSON.parse(health.stdout)).toMatchObject({
        status: 'degraded',
        indexes: [{ name: 'knowledge', notCurrent: expect.any(String) }],
      });
      expect(health.stdout).toContain(statement);
      // Documents are written and found.
      const { rows } = await postgres.query<{ id: string }>(
        `INSERT INTO treadle.workspaces (name) VALUES ('works') RETURNING id`,
      );
      await postgres.query(`INSERT INTO treadle.knowledge (workspace_id, title) VALUES ($1, 'Found anyway')`, [
        rows[0]?.id,
      ]);
      const found = await runTreadle(['search', 'anyway', '--workspace', 'works', '--json'], { env });
      expect(JSON.parse(found.stdout)).toMatchObject({ total: 1, backend: 'postgres', degraded: true });
      expect(sink.heard).toEqual([]);
    } finally {
      await replicator.close();
    }
  });

  test('is followed once it was set, and restarted, as it said', async () => {
    await postgres.close();
    await server.stop('SIGINT');
    await server.start({ wal_level: 'logical', max_slot_wal_keep_size: '1MB' });
    postgres = open(server.url);
    const replicator = follow(postgres, new Listener());
    replicator.start();
    await reaches(replicator, 'streaming');
    await replicator.close();
    const check = await runTreadle(['check'], { env });
    expect(check.stdout).toMatch(/ok +change stream/);
  });

  test('whose user may not replicate is told the statement that helps, and it does', async () => {
    await set(`CREATE ROLE "may not" LOGIN PASSWORD 'secret'; GRANT ALL ON DATABASE postgres TO "may not"`);
    const url = new URL(server.url);
    [url.username, url.password] = ['may%20not', 'secret'];
    const limited = open(url.href);
    try {
      const privilege = 'run ALTER ROLE "may not" REPLICATION;';
      const replicator = follow(limited, new Listener());
      replicator.start();
      await expect.poll(() => replicator.status.problem, { timeout: 10_000 }).toContain(privilege);
      expect(replicator.status.state).toBe('unavailable');
      await replicator.close();
      const asked = { env: { ...env, DATABASE_URL: url.href } };
      expect((await runTreadle(['check'], asked)).stdout).toContain(privilege);
      await set('ALTER ROLE "may not" REPLICATION');
      expect((await runTreadle(['check'], asked)).stdout).toMatch(/ok +change stream/);
    } finally {
      await limited.close();
    }
  });

  test('that cleared away what the slot needed: the slot is renewed, and its sinks start over', async () => {
    const sink = new Listener();
    let replicator = follow(postgres, sink);
    replicator.start();
    await reaches(replicator, 'streaming');
    await replicator.close();
    const before = sink.overs;
    await postgres.query('INSERT INTO public.item VALUES (1)');
    // More log than the server keeps for it.
    for (let turn = 0; turn < 3; turn += 1) {
      await postgres.query(`SELECT pg_logical_emit_message(false, 'filling', repeat('x', 1000000))`);
      await postgres.query('SELECT pg_switch_wal()');
    }
    await postgres.query('CHECKPOINT');
    expect(await readSlot(postgres, 'of_the_test')).toMatchObject({ walStatus: 'lost' });
    replicator = follow(postgres, sink);
    replicator.start();
    await reaches(replicator, 'streaming');
    expect(sink.overs).toBe(before + 1);
    expect((await readSlot(postgres, 'of_the_test'))?.walStatus).not.toBe('lost');
    await postgres.query('INSERT INTO public.item VALUES (2)');
    await expect.poll(() => sink.heard, { timeout: 20_000 }).toContain('2');
    await replicator.close();
  });

  test('whose publication lost a table by hand: it is noticed at the next start, and who watches it starts over', async () => {
    const sink = new Listener();
    let replicator = follow(postgres, sink);
    replicator.start();
    await reaches(replicator, 'streaming');
    await replicator.close();
    const before = sink.overs;
    await postgres.query('ALTER PUBLICATION items DROP TABLE public.item');
    await postgres.query('INSERT INTO public.item VALUES (3)');
    replicator = follow(postgres, sink);
    replicator.start();
    await reaches(replicator, 'streaming');
    expect(sink.overs).toBe(before + 1);
    expect(await count(postgres, `SELECT FROM pg_publication_tables WHERE pubname = 'items'`)).toBe(1);
    await postgres.query('INSERT INTO public.item VALUES (4)');
    await expect.poll(() => sink.heard, { timeout: 20_000 }).toContain('4');
    await replicator.close();
  });

  test.each([
    ['another system', `system = '1'`],
    ['another timeline', 'timeline = timeline + 1'],
    ['a position ahead of the log', `lsn = 'FFFF/0'`],
  ])('that is %s than before: the epoch grows, and sinks start over', async (_, change) => {
    const epochs = async (): Promise<number> =>
      (await postgres.query<{ epoch: number }>('SELECT epoch FROM treadle.change_epoch')).rows[0]?.epoch ?? 0;
    const sink = new Listener();
    const once = async (): Promise<void> => {
      const replicator = follow(postgres, sink);
      replicator.start();
      await reaches(replicator, 'streaming');
      await replicator.close();
    };
    await once();
    const [epoch, overs] = [await epochs(), sink.overs];
    await once();
    expect([await epochs(), sink.overs]).toEqual([epoch, overs]);
    await postgres.query(`UPDATE treadle.change_epoch SET ${change}`);
    await once();
    expect([await epochs(), sink.overs]).toEqual([epoch + 1, overs + 1]);
  });

  test('is told of by rows: who streams, how every sink does, and how late a mark arrived', async () => {
    const sink = new Listener();
    const replicator = follow(postgres, sink);
    replicator.start();
    await reaches(replicator, 'streaming');
    await expect.poll(() => replicator.lagMs, { timeout: 20_000 }).toBeLessThan(5_000);
    const told = async () =>
      (
        await postgres.query(
          `SELECT stream.state, stream.slot, stream.problem, stream.lag_ms < 5000 AS quick, sink.state AS sink, sink.waiting, sink.error,
             sink.current_at > clock_timestamp() - interval '5 seconds' AS current
           FROM treadle.change_stream AS stream, treadle.change_sinks AS sink WHERE sink.name = 'listener'`,
        )
      ).rows;
    await expect.poll(told, { timeout: 20_000 }).toEqual([
      {
        state: 'streaming',
        slot: 'of_the_test',
        problem: null,
        quick: true,
        sink: 'following',
        waiting: 0,
        error: null,
        current: true,
      },
    ]);
    await replicator.close();
    expect(replicator.lagMs).toBeUndefined();
  });
});
