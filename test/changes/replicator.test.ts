import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import { Replicator, type ReplicatorParts } from '../../src/changes/replicator.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import type { ChangedEntity, Watch } from '../../src/lib/replication/watch.ts';
import { parseLsn } from '../../src/lib/replication/lsn.ts';
import { dropSlot } from '../../src/lib/replication/slot.ts';
import { useDatabase } from '../services/database.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';

const database = useDatabase();
const slot = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
const log = createLog({ level: 'silent' });
const running = new Set<Replicator>();

const items: Watch = {
  schema: 'public',
  table: 'item',
  kinds: ['item'],
  entitiesOf: (row) => [{ kind: 'item', workspaceId: row('workspace') ?? '', id: row('id') ?? '' }],
};

/** Reads again what changed, as a search index would, and holds it. */
class Mirror implements Sink {
  readonly name: string;
  readonly watches = [items];
  readonly held = new Map<string, number>();
  readonly batches: AppliedBatch[] = [];
  overs = 0;
  fails = false;

  constructor(name: string) {
    this.name = name;
  }

  async apply(batch: AppliedBatch): Promise<void> {
    if (this.fails) throw new Error(`${this.name} is down`);
    this.batches.push(batch);
    if (batch.truncated.includes('item')) await this.#readAll();
    const ids = batch.entities.map(({ id }) => Number(id));
    const rows = await database.query<{ id: number; value: number }>(
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
    for (const { id, value } of await database.query<{ id: number; value: number }>(
      'SELECT id, value FROM public.item',
    )) {
      this.held.set(String(id), value);
    }
  }
}

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
const entitiesOf = ({ batches }: Mirror): readonly ChangedEntity[] => batches.flatMap(({ entities }) => entities);

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

test('whoever writes, the sink hears what changed, with its workspace, and each once a batch', async () => {
  await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
  const mirror = new Mirror('mirror');
  await streaming(start([mirror]));
  // What was there before it followed.
  expect(mirror.overs).toBe(1);
  await database.postgres.transaction(async (tx) => {
    await tx.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series(2, 5) AS n`);
    for (let turn = 0; turn < 10; turn += 1) await tx.query('UPDATE public.item SET value = value + 1');
    await tx.query('DELETE FROM public.item WHERE id = 3');
    await tx.query(`UPDATE public.item SET workspace = 'v', id = 50 WHERE id = 5`);
  });
  await equalsTable(mirror);
  expect(mirror.batches).toHaveLength(1);
  const heard = entitiesOf(mirror).map(({ workspaceId, id }) => `${workspaceId}/${id}`);
  expect(heard.toSorted()).toEqual(['v/50', 'w/1', 'w/2', 'w/3', 'w/4', 'w/5']);
  await database.query('TRUNCATE public.item');
  await equalsTable(mirror);
  expect(mirror.held.size).toBe(0);
});

test('rows that came and went with a TRUNCATE are told too, so that a late write of them comes upon their end', async () => {
  const mirror = new Mirror('mirror');
  await streaming(start([mirror]));
  await database.postgres.transaction(async (tx) => {
    await tx.query(`INSERT INTO public.item VALUES ('w', 1)`);
    await tx.query('TRUNCATE public.item');
    await tx.query(`INSERT INTO public.item VALUES ('w', 2)`);
  });
  await equalsTable(mirror);
  expect(mirror.batches).toMatchObject([{ truncated: ['item'] }]);
  expect(entitiesOf(mirror).map(({ id }) => id)).toEqual(['1', '2']);
});

test('after each cut of the stream, and of its process, the sink equals the table again', async () => {
  const mirror = new Mirror('mirror');
  let replicator = start([mirror]);
  await streaming(replicator);
  const writers = Array.from({ length: 6 }, async (_, writer) => {
    for (let turn = 0; turn < 150; turn += 1) {
      const id = (writer * 7 + turn * 13) % 40;
      if (turn % 5 === 4) await database.query('DELETE FROM public.item WHERE id = $1', [id]);
      else
        await database.query(
          `INSERT INTO public.item VALUES ('w', $1, $2) ON CONFLICT (workspace, id) DO UPDATE SET value = excluded.value`,
          [id, turn],
        );
    }
  });
  const done = Promise.all(writers).then(() => true);
  for (let cut = 0; cut < 4; cut += 1) {
    await database.query(
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`,
      [slot],
    );
    if (cut % 2 === 1) {
      await end(replicator);
      replicator = start([mirror]);
    }
    await streaming(replicator);
  }
  await done;
  await equalsTable(mirror);
  // Never because something was missed.
  expect(mirror.overs).toBe(1);
});

test('a position is confirmed only when every sink has what came before it', async () => {
  const [quick, slow] = [new Mirror('quick'), new Mirror('slow')];
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const apply = slow.apply.bind(slow);
  slow.apply = async (batch) => {
    await released;
    await apply(batch);
  };
  const replicator = start([quick, slow]);
  await streaming(replicator);
  await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
  const [{ now } = { now: '' }] = await database.query<{ now: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS now',
  );
  await equalsTable(quick);
  const confirmed = async (): Promise<boolean> => {
    const [row] = await database.query<{ past: boolean }>(
      'SELECT confirmed_flush_lsn >= $2::pg_lsn AS past FROM pg_replication_slots WHERE slot_name = $1',
      [slot, now],
    );
    return row?.past === true;
  };
  const quickPosition = (): bigint => replicator.status.sinks.find(({ name }) => name === 'quick')?.position ?? 0n;
  await expect.poll(() => quickPosition() >= parseLsn(now), { timeout: 20_000 }).toBe(true);
  await tellsAgain();
  const before = await confirmed();
  release();
  expect(before).toBe(false);
  await expect.poll(confirmed, { timeout: 20_000 }).toBe(true);
});

test('a sink that is ahead of another takes nothing away from it', async () => {
  const [ahead, behind] = [new Mirror('ahead'), new Mirror('behind')];
  const first = start([ahead, behind]);
  await streaming(first);
  await end(first);
  await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
  await database.query(`UPDATE treadle.change_sinks SET position = pg_current_wal_insert_lsn() WHERE name = 'ahead'`);
  const unflushed = 'SELECT FROM treadle.change_sinks WHERE position > pg_current_wal_flush_lsn()';
  await expect.poll(() => database.query(unflushed), { timeout: 20_000 }).toEqual([]);
  await streaming(start([ahead, behind]));
  await equalsTable(behind);
  expect(behind.overs).toBe(1);
});

describe('a sink that fails', () => {
  test('is left behind without the others, and takes all when it works again', async () => {
    const [fine, down] = [new Mirror('fine'), new Mirror('down')];
    const replicator = start([fine, down]);
    await streaming(replicator);
    down.fails = true;
    const stateOf = (): string | undefined => replicator.status.sinks.find(({ name }) => name === 'down')?.state;
    await database.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series(1, 3000) AS n`);
    await expect.poll(stateOf, { timeout: 20_000 }).toBe('behind');
    await database.query('UPDATE public.item SET value = 7 WHERE id <= 10');
    await database.query('DELETE FROM public.item WHERE id > 2990');
    await equalsTable(fine);
    await expect
      .poll(async () => (await database.query('SELECT FROM treadle.change_backlog')).length, { timeout: 20_000 })
      .toBe(3_000);
    down.fails = false;
    await expect.poll(stateOf, { timeout: 20_000 }).toBe('following');
    await equalsTable(down);
    expect(await database.query('SELECT FROM treadle.change_backlog')).toEqual([]);
  });

  test('and whose process ends meanwhile, takes all from the next', async () => {
    const down = new Mirror('down');
    const first = start([down]);
    await streaming(first);
    down.fails = true;
    await database.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series(1, 50) AS n`);
    await expect.poll(() => first.status.sinks[0]?.state, { timeout: 20_000 }).toBe('behind');
    await end(first);
    down.fails = false;
    await streaming(start([down]));
    await equalsTable(down);
    expect(down.overs).toBe(1);
  });
});

test('a transaction larger than the queue passes through it', async () => {
  const mirror = new Mirror('mirror');
  const replicator = start([mirror], { limits: { maxWaiting: 500, patienceMs: 200 } });
  await streaming(replicator);
  await database.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series(1, 20000) AS n`);
  await expect.poll(() => mirror.held.size, { timeout: 30_000 }).toBe(20_000);
  expect(mirror.batches.length).toBeGreaterThan(3);
  expect(Math.max(...mirror.batches.map(({ entities }) => entities.length))).toBeLessThan(15_000);
});

describe('of two processes', () => {
  test('one streams, and the other when the first ends', async () => {
    const [a, b] = [new Mirror('mirror'), new Mirror('mirror')];
    const first = start([a]);
    await streaming(first);
    const second = start([b]);
    await expect.poll(() => second.status.state, { timeout: 20_000 }).toBe('waiting');
    await end(first);
    await streaming(second);
    await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
    await expect.poll(() => b.held.get('1'), { timeout: 20_000 }).toBe(0);
  });

  test('one that is not heard of any more is ended by the other', async () => {
    const proxy = new TcpProxy(database.url);
    await proxy.open();
    const frozen = new Postgres(
      { url: database.url, directUrl: proxy.url, poolSize: 5, statementTimeoutMs: 30_000, applicationName: 'frozen' },
      log,
    );
    const first = start([new Mirror('mirror')], { postgres: frozen });
    await streaming(first);
    const mirror = new Mirror('mirror');
    const second = start([mirror]);
    await expect.poll(() => second.status.state, { timeout: 20_000 }).toBe('waiting');
    proxy.freeze();
    await streaming(second);
    await database.query(`INSERT INTO public.item VALUES ('w', 9)`);
    await expect.poll(() => mirror.held.get('9'), { timeout: 20_000 }).toBe(0);
    proxy.thaw();
    await end(first);
    await frozen.close();
    await proxy.close();
  });
});

test('a slot that is lost is made again, and its sinks start over', async () => {
  const mirror = new Mirror('mirror');
  await streaming(start([mirror]));
  for (const replicator of running) await end(replicator);
  await dropSlot(database.postgres, slot);
  await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
  await streaming(start([mirror]));
  expect(mirror.overs).toBe(2);
  expect(mirror.held.get('1')).toBe(0);
});

describe('changes that were made while there was no publication are not lost', () => {
  const change = async (): Promise<void> => {
    await database.query('DROP PUBLICATION items');
    await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
    await database.query('CREATE PUBLICATION items FOR TABLE public.item');
  };

  test('while somebody streams', async () => {
    const mirror = new Mirror('mirror');
    await streaming(start([mirror]));
    await change();
    await equalsTable(mirror);
    expect(mirror.overs).toBe(2);
  });

  test('while nobody does', async () => {
    const mirror = new Mirror('mirror');
    const first = start([mirror]);
    await streaming(first);
    await end(first);
    await change();
    await streaming(start([mirror]));
    await equalsTable(mirror);
    expect(mirror.overs).toBe(2);
  });

  test('nor when it was not made again', async () => {
    const mirror = new Mirror('mirror');
    const first = start([mirror]);
    await streaming(first);
    await end(first);
    await database.query('DROP PUBLICATION items');
    await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
    await streaming(start([mirror]));
    await equalsTable(mirror);
    expect(mirror.overs).toBeGreaterThan(1);
    await database.query(`INSERT INTO public.item VALUES ('w', 2)`);
    await equalsTable(mirror);
  });
});

describe('batches of a sink that takes two at once', () => {
  /** Ends a batch when it is told to. */
  class Held implements Sink {
    readonly name = 'held';
    readonly watches = [items];
    readonly batchesAtOnce = 2;
    readonly given: { readonly batch: AppliedBatch; readonly finish: (failure?: Error) => void }[] = [];
    isOpen = false;

    apply(batch: AppliedBatch, signal: AbortSignal): Promise<void> {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => reject(new Error('the replicator is closed')));
      const finish = (failure?: Error): void => (failure ? reject(failure) : resolve());
      this.given.push({ batch, finish });
      if (this.isOpen) finish();
      return promise;
    }

    open(): void {
      this.isOpen = true;
      for (const { finish } of this.given) finish();
    }

    async startOver(): Promise<void> {}
  }

  const given = async (held: Held, batches: number): Promise<void> => {
    await expect.poll(() => held.given.length, { timeout: 20_000, interval: 10 }).toBe(batches);
  };
  const idsOf = ({ given: all }: Held, place: number): readonly string[] =>
    all[place]?.batch.entities.map(({ id }) => id) ?? [];
  const positionOf = (replicator: Replicator): bigint => replicator.status.sinks[0]?.position ?? 0n;
  /** It has looked for a backlog, and takes batches from here on. */
  const following = async (replicator: Replicator): Promise<void> => {
    await streaming(replicator);
    await expect.poll(() => replicator.status.sinks[0]?.state, { interval: 10 }).toBe('following');
  };
  const insert = (from: number, to: number): Promise<unknown> =>
    database.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series($1::integer, $2) AS n`, [from, to]);
  // A second batch has to be worth it: of a tenth.
  const limits = { patienceMs: 200, maxWaiting: 100 };

  test('overlap, and are reported in their order, whichever ends first', async () => {
    const held = new Held();
    const replicator = start([held], { limits });
    await following(replicator);
    await insert(1, 1);
    await given(held, 1);
    const before = positionOf(replicator);
    await insert(2, 21);
    await given(held, 2);
    held.given[1]?.finish();
    await insert(30, 49);
    await given(held, 3);
    expect(positionOf(replicator)).toBe(before);
    held.given[0]?.finish();
    await expect.poll(() => positionOf(replicator), { interval: 10 }).toBeGreaterThan(before);
    held.open();
  });

  test('and the older one that fails is offered again alone', async () => {
    const held = new Held();
    const replicator = start([held], { limits: { ...limits, patienceMs: 20_000 } });
    await following(replicator);
    await insert(1, 1);
    await given(held, 1);
    await insert(2, 21);
    await given(held, 2);
    held.given[0]?.finish(new Error('held is down'));
    await insert(30, 49);
    held.given[1]?.finish();
    await given(held, 3);
    expect(idsOf(held, 2)).toEqual(['1']);
    held.given[2]?.finish();
    await given(held, 4);
    expect(idsOf(held, 3)).toHaveLength(20);
    held.open();
  });

  test('never overlap where they share a transaction, whose rows have one version', async () => {
    const held = new Held();
    const replicator = start([held], { limits });
    await following(replicator);
    await insert(1, 1_000);
    await given(held, 1);
    const at = (place: number): bigint | undefined => held.given[place]?.batch.version;
    for (let place = 0; held.given.reduce((sum, { batch }) => sum + batch.entities.length, 0) < 1_000; place += 1) {
      await given(held, place + 1);
      expect(at(place)).toBe(at(0));
      held.given[place]?.finish();
      await given(held, place + 2);
    }
    held.open();
  });
});
