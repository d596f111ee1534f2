import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { parseLsn } from '../../../src/lib/replication/lsn.ts';
import type { PgoutputMessage } from '../../../src/lib/replication/pgoutput-message.ts';
import { ReplicationStream, type ReplicationStreamOptions } from '../../../src/lib/replication/replication-stream.ts';
import { createSlot, dropSlot, readSlot } from '../../../src/lib/replication/slot.ts';
import type { Tuple } from '../../../src/lib/replication/tuple.ts';
import { useDatabase } from '../../services/database.ts';
import { TcpProxy } from '../../services/tcp-proxy.ts';

const database = useDatabase({ schema: 'empty' });
const slot = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
let admin: Client;
const open = new Set<ReplicationStream>();

beforeAll(async () => {
  admin = await database.postgres.connectDirect('admin');
  await admin.query(`CREATE TABLE item (id integer PRIMARY KEY, name text, big text);
    CREATE TABLE other (id integer);
    CREATE PUBLICATION watched FOR TABLE item`);
});
beforeEach(async () => {
  await admin.query('TRUNCATE item');
  await createSlot(admin, slot);
});
afterEach(async () => {
  for (const stream of open) await stream.stop();
  open.clear();
  await dropSlot(database.postgres, slot);
});
afterAll(async () => admin.end());

/** What is heard may be looked at later. */
const kept = (message: PgoutputMessage): PgoutputMessage =>
  message.kind === 'insert' || message.kind === 'update' ? { ...message, row: message.row.keep() } : message;

const start = async (
  onMessage: ReplicationStreamOptions['onMessage'],
  more: Partial<ReplicationStreamOptions> = {},
): Promise<ReplicationStream> => {
  const stream = await ReplicationStream.start({
    target: database.url,
    applicationName: 'test',
    slot,
    publications: ['watched'],
    statusMs: 50,
    onMessage: (message) => onMessage(kept(message)),
    ...more,
  });
  open.add(stream);
  return stream;
};

const until = async (what: string, done: () => boolean | Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 20_000; !(await done()); await delay(10)) {
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
  }
};
const kinds = (messages: readonly Pick<PgoutputMessage, 'kind'>[]): readonly string[] =>
  messages.map(({ kind }) => kind);
const idOf = (message: PgoutputMessage): number => (message.kind === 'insert' ? Number(message.row.at(0)) : NaN);
const idsOf = (messages: readonly PgoutputMessage[]): readonly number[] =>
  messages.filter(({ kind }) => kind === 'insert').map(idOf);

/** A message with its tuples' values. */
const withValues = (message: PgoutputMessage) => {
  if (!('relation' in message) || message.kind === 'relation') return message;
  const valuesOf = (tuple: Tuple | undefined) => tuple && message.relation.columns.map((_, place) => tuple.at(place));
  if (message.kind === 'delete') return { ...message, old: valuesOf(message.old) };
  const { isWhole } = message.row;
  const old = message.kind === 'update' ? { old: valuesOf(message.old) } : {};
  return { ...message, ...old, row: valuesOf(message.row), isWhole };
};

/** The receiver has told its positions again so much later, by the server's clock. */
const goesOnFor = async (interval: string): Promise<void> => {
  const [{ start: from } = { start: '' }] = await database.query<{ start: string }>(
    'SELECT clock_timestamp()::text AS start',
  );
  await until('status', async () => {
    const found = await database.query(
      `SELECT FROM pg_stat_replication WHERE application_name = 'test' AND reply_time > $1::timestamptz + $2::interval`,
      [from, interval],
    );
    return found.length > 0;
  });
};

test('every kind of change is told in the order of commits, with what it changed', async () => {
  const heard: ReturnType<typeof withValues>[] = [];
  await start((message) => heard.push(withValues(message)));
  const large = Array.from({ length: 4_000 }, (_, index) => String(index * 7_919)).join('');
  await admin.query('INSERT INTO item VALUES (1, $1, $2)', ['Zoë 🦀', large]);
  await admin.query(`UPDATE item SET name = NULL WHERE id = 1`);
  await admin.query(`UPDATE item SET id = 2 WHERE id = 1`);
  await admin.query(`SELECT pg_logical_emit_message(true, 'note', 'héllo')`);
  await admin.query('ALTER TABLE item ADD COLUMN extra integer DEFAULT 7');
  await admin.query(`INSERT INTO other VALUES (1); DELETE FROM item; TRUNCATE item`);
  await until('the last commit', () => kinds(heard).filter((kind) => kind === 'commit').length === 5);
  const changes = heard.filter(({ kind }) => !['begin', 'commit', 'relation'].includes(kind));
  expect(changes).toMatchObject([
    { kind: 'insert', row: ['1', 'Zoë 🦀', large], isWhole: true },
    { kind: 'update', row: ['1', null, undefined], isWhole: false, old: undefined },
    { kind: 'update', row: ['2', null, undefined], isWhole: false, old: ['1', null, null] },
    { kind: 'message', prefix: 'note', content: 'héllo', transactional: true },
    { kind: 'delete', old: ['2', null, null, null] },
    { kind: 'truncate', relations: [{ schema: 'public', name: 'item', identity: 'default' }] },
  ]);
  expect(changes.at(-1)).toMatchObject({
    relations: [{ columns: [{ isKey: true, name: 'id' }, { name: 'name' }, {}, { name: 'extra', typeOid: 23 }] }],
  });
  await admin.query('ALTER TABLE item DROP COLUMN extra');
});

test('after a lost connection everything that was not confirmed comes again, and nothing that was', async () => {
  const [first, second] = [
    await database.postgres.connectDirect('first'),
    await database.postgres.connectDirect('second'),
  ];
  try {
    const heard: PgoutputMessage[] = [];
    const stream = await start((message) => heard.push(message));
    // The first to begin is the last to commit: its changes lie before the confirmed position.
    await first.query('BEGIN; INSERT INTO item VALUES (1)');
    await second.query('INSERT INTO item VALUES (2)');
    await until('the second', () => heard.at(-1)?.kind === 'commit');
    const commit = heard.at(-1);
    stream.confirm(commit?.kind === 'commit' ? commit.endLsn : 0n);
    await until(
      'the confirmation',
      async () => (await readSlot(database.postgres, slot))?.confirmedFlush === stream.confirmed,
    );
    await admin.query('INSERT INTO item VALUES (3)');
    await until('the third', () => idsOf(heard).includes(3));
    await goesOnFor('200 ms');
    await admin.query(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${slot}'`);
    expect(await stream.ended).toMatchObject({ code: '57P01' });
    await first.query('COMMIT');
    const again: PgoutputMessage[] = [];
    await start((message) => again.push(message));
    await until('the first', () => idsOf(again).includes(1));
    expect(idsOf(again)).toEqual([3, 1]);
  } finally {
    await first.end();
    await second.end();
  }
});

test('a paused stream takes nothing, keeps its place at the server, and goes on', async () => {
  const heard: PgoutputMessage[] = [];
  const stream = await start((message) => heard.push(message), {
    target: { connectionString: database.url, options: '-c wal_sender_timeout=500ms' },
  });
  stream.pause();
  const rows = 200_000;
  await admin.query(`INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, ${rows}) AS n`);
  await goesOnFor('1500 ms');
  // What was on its way already may have come.
  expect(heard.length).toBeLessThan(rows / 10);
  stream.resume();
  await until('all rows', () => heard.at(-1)?.kind === 'commit');
  expect(idsOf(heard)).toHaveLength(rows);
});

test('an idle slot moves on with the confirmed keepalives, so that it holds no WAL', async () => {
  let stream: ReplicationStream | undefined;
  stream = await start(() => undefined, { onIdle: (upTo) => stream?.confirm(upTo) });
  await admin.query('INSERT INTO other SELECT generate_series(1, 10000)');
  const [{ now } = { now: '' }] = await database.query<{ now: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS now',
  );
  await until('the slot at the end of WAL', async () => {
    const [row] = await database.query<{ past: boolean }>(
      'SELECT confirmed_flush_lsn >= $2::pg_lsn AS past FROM pg_replication_slots WHERE slot_name = $1',
      [slot, now],
    );
    return row?.past === true;
  });
  expect(stream.confirmed).toBeGreaterThanOrEqual(parseLsn(now));
});

test('a server that falls silent is given up, a busy one that has nothing to tell is not', async () => {
  const proxy = new TcpProxy(database.url);
  await proxy.open();
  const stream = await start(() => undefined, { target: proxy.url, silenceMs: 400 });
  await goesOnFor('1000 ms');
  proxy.freeze();
  expect(await stream.ended).toMatchObject({ code: 'TIMEOUT' });
  await proxy.close();
});

test('what the receiver throws ends the stream with it, and nothing is confirmed', async () => {
  const before = (await readSlot(database.postgres, slot))?.confirmedFlush;
  const stream = await start((message) => {
    if (message.kind === 'insert') throw new Error('no');
  });
  await admin.query('INSERT INTO item VALUES (1)');
  expect(await stream.ended).toMatchObject({ message: 'no' });
  expect((await readSlot(database.postgres, slot))?.confirmedFlush).toBe(before);
});

test.each([
  ['a slot that does not exist', { slot: 'none' }, '42704'],
  ['a publication that does not exist', { publications: ['none'] }, /55000|42704/],
] as const)('%s is told at once', async (_, more, code) => {
  const tried = start(() => undefined, more).then(async (stream) => {
    // Postgres looks for the publication with the first change.
    await admin.query('INSERT INTO item VALUES (1)');
    throw await stream.ended;
  });
  await expect(tried).rejects.toMatchObject({ code: expect.stringMatching(code) });
});

test('a slot that somebody reads is refused to others', async () => {
  await start(() => undefined);
  await expect(start(() => undefined)).rejects.toMatchObject({ code: '55006' });
});

test('a slot that waits for a writer names it', async () => {
  const writer = await database.postgres.connectDirect('writer');
  await dropSlot(database.postgres, slot);
  await writer.query('BEGIN; INSERT INTO other VALUES (1)');
  await expect(createSlot(admin, slot, { timeoutMs: 300 })).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('test:writer'),
  });
  await writer.query('ROLLBACK');
  await writer.end();
  await createSlot(admin, slot);
});
