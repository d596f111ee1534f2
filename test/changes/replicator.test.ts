import { describe, expect, test } from 'vitest';
import type { ChangedEntity } from '../../src/lib/replication/watch.ts';
import { Postgres } from '../../src/lib/postgres/postgres.ts';
import { parseLsn } from '../../src/lib/replication/lsn.ts';
import { dropSlot } from '../../src/lib/replication/slot.ts';
import { TcpProxy } from '../services/tcp-proxy.ts';
import { useItems, type Mirror } from './use-items.ts';

const { database, slot, log, running, start, streaming, equalsTable, tellsAgain, end, mirror: mirrorOf } = useItems();
const entitiesOf = ({ batches }: Mirror): readonly ChangedEntity[] => batches.flatMap(({ entities }) => entities);

test('whoever writes, the sink hears what changed, with its workspace, and each once a batch', async () => {
  await database.query(`INSERT INTO public.item VALUES ('w', 1)`);
  const mirror = mirrorOf('mirror');
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
  // One that was woken meanwhile may have begun in the middle.
  expect(mirror.batches.length).toBeLessThan(3);
  const namesOf = (entities: readonly ChangedEntity[]): string[] =>
    entities.map(({ workspaceId, id }) => `${workspaceId}/${id}`);
  for (const { entities } of mirror.batches) expect(new Set(namesOf(entities)).size).toBe(entities.length);
  const heard = new Set(namesOf(entitiesOf(mirror)));
  expect([...heard].toSorted()).toEqual(['v/50', 'w/1', 'w/2', 'w/3', 'w/4', 'w/5']);
  await database.query('TRUNCATE public.item');
  await equalsTable(mirror);
  expect(mirror.held.size).toBe(0);
});

test('rows that came and went with a TRUNCATE are told too, so that a late write of them comes upon their end', async () => {
  const mirror = mirrorOf('mirror');
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
  const mirror = mirrorOf('mirror');
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
  const [quick, slow] = [mirrorOf('quick'), mirrorOf('slow')];
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
  const [ahead, behind] = [mirrorOf('ahead'), mirrorOf('behind')];
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
    const [fine, down] = [mirrorOf('fine'), mirrorOf('down')];
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
    const down = mirrorOf('down');
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
  const mirror = mirrorOf('mirror');
  const replicator = start([mirror], { limits: { maxWaiting: 500, patienceMs: 200 } });
  await streaming(replicator);
  await database.query(`INSERT INTO public.item SELECT 'w', n FROM generate_series(1, 20000) AS n`);
  await expect.poll(() => mirror.held.size, { timeout: 30_000 }).toBe(20_000);
  expect(mirror.batches.length).toBeGreaterThan(3);
  expect(Math.max(...mirror.batches.map(({ entities }) => entities.length))).toBeLessThan(15_000);
});

describe('of two processes', () => {
  test('one streams, and the other when the first ends', async () => {
    const [a, b] = [mirrorOf('mirror'), mirrorOf('mirror')];
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
    const first = start([mirrorOf('mirror')], { postgres: frozen });
    await streaming(first);
    const mirror = mirrorOf('mirror');
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
  const mirror = mirrorOf('mirror');
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
    // Whoever streams may have been faster.
    await database.query(
      `DO $$ BEGIN CREATE PUBLICATION items FOR TABLE public.item; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
    );
  };

  test('while somebody streams', async () => {
    const mirror = mirrorOf('mirror');
    await streaming(start([mirror]));
    await change();
    await equalsTable(mirror);
    expect(mirror.overs).toBe(2);
  });

  test('while nobody does', async () => {
    const mirror = mirrorOf('mirror');
    const first = start([mirror]);
    await streaming(first);
    await end(first);
    await change();
    await streaming(start([mirror]));
    await equalsTable(mirror);
    expect(mirror.overs).toBe(2);
  });

  test('nor when it was not made again', async () => {
    const mirror = mirrorOf('mirror');
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
