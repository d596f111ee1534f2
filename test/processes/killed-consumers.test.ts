import { expect, test } from 'vitest';
import { EventRecord } from '../../src/domain/events/postgres/event-record.ts';
import { uuidV7 } from '../../src/lib/ids/uuid-v7.ts';
import { useDatabase } from '../services/database.ts';
import { RunningProcess } from './run-process.ts';

const database = useDatabase();

const start = async (): Promise<RunningProcess> => {
  const env = { DATABASE_URL: database.url, REDIS_URL: '', LOG_LEVEL: 'fatal', TREADLE_SHUTDOWN_GRACE_MS: '3000' };
  const running = new RunningProcess('event-consumer.ts', { env });
  expect(await running.line()).toBe('ready');
  return running;
};
const patience = { timeout: 30_000, interval: 20 };
const handledBy = async (pid: number | undefined): Promise<number> => {
  const rows = await database.query<{ events: number }>(
    'SELECT count(*)::integer AS events FROM handled WHERE pid = $1',
    [pid],
  );
  return rows[0]?.events ?? 0;
};
/** The pid of the process that has the consumer. */
const holder = async (): Promise<number> => {
  const rows = await database.query<{ pid: number }>(
    `SELECT split_part(holder, ':', 2)::integer AS pid FROM treadle.event_consumers WHERE held_until > clock_timestamp()`,
  );
  return rows[0]?.pid ?? 0;
};

test('a consumer whose process is killed or stands still is taken over, and no event is missed', async () => {
  await database.query('CREATE TABLE handled (seq bigint GENERATED ALWAYS AS IDENTITY, event_id uuid, pid integer)');
  const record = new EventRecord(database.postgres);
  const batch = (count: number) =>
    record.append(
      Array.from({ length: count }, () => ({
        id: uuidV7(),
        type: 'order.paid',
        aggregateId: 'a',
        version: null,
        data: {},
        workspaceId: null,
        actor: null,
        occurredOn: undefined,
      })),
      { tx: undefined, mayBeThere: false },
    );
  await batch(300);
  const processes = await Promise.all([start(), start(), start()]);
  const byPid = (pid: number): RunningProcess => {
    const found = processes.find(({ child }) => child.pid === pid);
    if (!found) throw new Error(`nobody has the consumer (${pid})`);
    return found;
  };
  await expect.poll(holder, patience).not.toBe(0);
  const first = byPid(await holder());
  await expect.poll(() => handledBy(first.child.pid), patience).toBeGreaterThan(50);
  await first.end('SIGKILL');

  await expect.poll(async () => [0, first.child.pid].includes(await holder()), patience).toBe(false);
  const second = byPid(await holder());
  await batch(300);
  await expect.poll(() => handledBy(second.child.pid), patience).toBeGreaterThan(50);
  second.child.kill('SIGSTOP');
  await expect.poll(async () => [0, first.child.pid, second.child.pid].includes(await holder()), patience).toBe(false);
  const third = byPid(await holder());
  await expect.poll(() => handledBy(third.child.pid), patience).toBeGreaterThan(20);
  second.child.kill('SIGCONT');

  const rows = await database.query<{ id: string }>('SELECT id FROM treadle.events ORDER BY xid, seq');
  const published = rows.map(({ id }) => id);
  const handled = async (): Promise<readonly string[]> => {
    const all = await database.query<{ event_id: string }>('SELECT event_id FROM handled ORDER BY seq');
    return all.map(({ event_id: id }) => id);
  };
  await expect.poll(async () => new Set(await handled()).size, patience).toBe(600);
  expect([...new Set(await handled())]).toEqual(published);
  // Who stood still has given up: what it goes on with has no effect on the position.
  await expect.poll(holder, patience).toBe(third.child.pid);
  await batch(1);
  await expect.poll(async () => new Set(await handled()).size, patience).toBe(601);
  const [last] = await database.query<{ pid: number }>('SELECT pid FROM handled ORDER BY seq DESC LIMIT 1');
  expect(last?.pid).toBe(third.child.pid);
  expect(await third.end('SIGTERM')).toBe(0);
  // Handed over at once.
  await expect.poll(holder, { timeout: 900, interval: 20 }).toBe(second.child.pid);
  expect(await second.end('SIGTERM')).toBe(0);
});
