import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import { Replicator } from '../../src/changes/replicator.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { readSlot } from '../../src/lib/replication/slot.ts';
import { migrateAll } from '../../src/queues/migrations/migrate-all.ts';
import { PrivatePostgres } from '../services/private-postgres.ts';
import { items } from './use-items.ts';

const log = createLog({ level: 'silent' });
const slot = 'lost';
let server: PrivatePostgres;
let postgres: Postgres;

beforeAll(async () => {
  server = await PrivatePostgres.start({ max_slot_wal_keep_size: '1MB' });
  await migrateAll(server.url, log);
  postgres = new Postgres(
    { url: server.url, directUrl: server.url, poolSize: 4, statementTimeoutMs: 30_000, applicationName: 'test' },
    log,
  );
  await postgres.query(
    `CREATE TABLE public.item (workspace text NOT NULL, id integer NOT NULL, value integer NOT NULL DEFAULT 0, PRIMARY KEY (workspace, id))`,
  );
});
afterAll(async () => {
  await postgres?.close();
  await server?.remove();
});

/** Holds the ids of the table, and up a batch for as long as it is told to. */
class HeldUp implements Sink {
  readonly name = 'held-up';
  readonly watches = [items];
  readonly ids = new Set<string>();
  overs = 0;
  batches = 0;
  gate: Promise<void> = Promise.resolve();

  async apply({ entities }: AppliedBatch, signal: AbortSignal): Promise<void> {
    this.batches += 1;
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('the replicator begins again')));
    });
    await Promise.race([this.gate, aborted]);
    for (const { id } of entities) this.ids.add(id);
  }

  async startOver(): Promise<void> {
    this.overs += 1;
    this.ids.clear();
    const { rows } = await postgres.query<{ id: number }>('SELECT id FROM public.item');
    for (const { id } of rows) this.ids.add(String(id));
  }
}

test('a slot that the server gives up while it is read is made anew, and its sinks start over', async () => {
  const sink = new HeldUp();
  const replicator = new Replicator({
    postgres,
    log,
    sinks: [sink],
    slot,
    publications: [
      {
        name: 'items',
        tables: [{ schema: 'public', table: 'item', identity: ['workspace', 'id'], columns: ['value'] }],
      },
    ],
    statusMs: 50,
    heartbeatMs: 200,
    limits: { patienceMs: 60_000 },
  });
  replicator.start();
  try {
    await expect.poll(() => replicator.status.state, { timeout: 20_000, interval: 10 }).toBe('streaming');
    const held = Promise.withResolvers<void>();
    sink.gate = held.promise;
    const before = sink.batches;
    await postgres.query(`INSERT INTO public.item VALUES ('w', 1)`);
    await expect.poll(() => sink.batches, { timeout: 20_000, interval: 10 }).toBeGreaterThan(before);
    // What it has not confirmed lies more than a megabyte back by the next checkpoint: nobody waits for it any longer.
    const first = await readSlot(postgres, slot);
    for (let segments = 0; segments < 4; segments += 1) {
      await postgres.query(`INSERT INTO public.item VALUES ('w', $1)`, [10 + segments]);
      await postgres.query('SELECT pg_switch_wal()');
    }
    await postgres.query('CHECKPOINT');
    await expect
      .poll(async () => (await readSlot(postgres, slot))?.confirmedFlush, { timeout: 30_000, interval: 50 })
      .not.toBe(first?.confirmedFlush);
    held.resolve();
    await expect.poll(() => sink.overs, { timeout: 20_000, interval: 20 }).toBe(2);
    await expect
      .poll(() => [...sink.ids].toSorted(), { timeout: 20_000, interval: 20 })
      .toEqual(['1', '10', '11', '12', '13']);
    await postgres.query(`INSERT INTO public.item VALUES ('w', 2)`);
    await expect.poll(() => sink.ids.has('2'), { timeout: 20_000, interval: 20 }).toBe(true);
  } finally {
    await replicator.close();
  }
});
