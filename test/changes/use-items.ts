import { afterEach, beforeAll, expect } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import { Replicator, type ReplicatorParts } from '../../src/changes/replicator.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import type { Watch } from '../../src/lib/replication/watch.ts';
import { dropSlot } from '../../src/lib/replication/slot.ts';
import { useDatabase, type TestDatabase } from '../services/database.ts';

/** Of the one table that is followed. */
export const items: Watch = {
  schema: 'public',
  table: 'item',
  kinds: ['item'],
  entitiesOf: (row) => [{ kind: 'item', workspaceId: row('workspace') ?? '', id: row('id') ?? '' }],
};

/** Reads again what changed, as a search index would, and holds it. */
export class Mirror implements Sink {
  readonly name: string;
  readonly #database: TestDatabase;
  readonly watches = [items];
  readonly held = new Map<string, number>();
  readonly batches: AppliedBatch[] = [];
  overs = 0;
  fails = false;

  constructor(database: TestDatabase, name: string) {
    this.#database = database;
    this.name = name;
  }

  async apply(batch: AppliedBatch): Promise<void> {
    if (this.fails) throw new Error(`${this.name} is down`);
    this.batches.push(batch);
    if (batch.truncated.includes('item')) await this.#readAll();
    const ids = batch.entities.map(({ id }) => Number(id));
    const rows = await this.#database.query<{ id: number; value: number }>(
      'SELECT id, value FROM public.item WHERE id = ANY ($1)',
      [ids],
    );
    for (const id of ids) this.held.delete(String(id));
    for (const { id, value } of rows) this.held.set(String(id), value);
  }

  async startOver(): Promise<void> {
    this.overs += 1;
    await this.#readAll();
  }

  async #readAll(): Promise<void> {
    this.held.clear();
    for (const { id, value } of await this.#database.query<{ id: number; value: number }>(
      'SELECT id, value FROM public.item',
    )) {
      this.held.set(String(id), value);
    }
  }
}

/** A table in the database of the file, and replicators that follow it, which are closed after each test. */
export const useItems = () => {
  const database = useDatabase();
  const slot = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
  const log = createLog({ level: 'silent' });
  const running = new Set<Replicator>();

  const start = (sinks: readonly Sink[], more: Partial<ReplicatorParts> = {}): Replicator => {
    const replicator = new Replicator({
      postgres: database.postgres,
      log,
      sinks,
      slot,
      publications: [
        {
          name: 'items',
          tables: [{ schema: 'public', table: 'item', identity: ['workspace', 'id'], columns: ['value'] }],
        },
      ],
      heartbeatMs: 200,
      statusMs: 50,
      silenceMs: 500,
      limits: { patienceMs: 200 },
      ...more,
    });
    replicator.start();
    running.add(replicator);
    return replicator;
  };
  const streaming = async (replicator: Replicator): Promise<void> => {
    await expect.poll(() => replicator.status.state, { timeout: 20_000, interval: 10 }).toBe('streaming');
  };
  const table = async (): Promise<ReadonlyMap<string, number>> => {
    const rows = await database.query<{ id: number; value: number }>('SELECT id, value FROM public.item');
    return new Map(rows.map(({ id, value }) => [String(id), value]));
  };
  const sorted = (map: ReadonlyMap<string, number>): readonly (readonly [string, number])[] =>
    [...map].toSorted(([a], [b]) => Number(a) - Number(b));
  /** Once nobody writes any more. */
  const equalsTable = async (mirror: Mirror): Promise<void> => {
    const expected = sorted(await table());
    await expect.poll(() => sorted(mirror.held), { timeout: 30_000, interval: 20 }).toEqual(expected);
  };
  /** Whoever reads the slot tells its positions some times more. */
  const tellsAgain = async (): Promise<void> => {
    const [{ from } = { from: '' }] = await database.query<{ from: string }>('SELECT clock_timestamp()::text AS from');
    const told = `SELECT FROM pg_stat_replication AS r JOIN pg_replication_slots AS s ON s.active_pid = r.pid
    WHERE s.slot_name = $1 AND r.reply_time > $2::timestamptz + interval '300 ms'`;
    await expect.poll(async () => (await database.query(told, [slot, from])).length, { timeout: 20_000 }).toBe(1);
  };
  const end = async (replicator: Replicator): Promise<void> => {
    running.delete(replicator);
    await replicator.close();
  };
  beforeAll(async () => {
    await database.query(
      `CREATE TABLE public.item (workspace text NOT NULL, id integer NOT NULL, value integer NOT NULL DEFAULT 0, PRIMARY KEY (workspace, id))`,
    );
    await database.query('CREATE PUBLICATION items FOR TABLE public.item');
  });
  afterEach(async () => {
    for (const replicator of running) await replicator.close();
    running.clear();
    await dropSlot(database.postgres, slot);
    await database.query('TRUNCATE public.item, treadle.change_sinks, treadle.change_backlog');
  });

  return {
    database,
    slot,
    log,
    running,
    start,
    streaming,
    equalsTable,
    tellsAgain,
    end,
    mirror: (name: string) => new Mirror(database, name),
  };
};
