import { afterAll, expect, test } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Subscription } from '../../../src/lib/postgres/subscription.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase({ schema: 'empty' });
const open: Subscription[] = [];
const subscribe = (): Subscription => {
  const subscription = new Subscription(database.postgres, createLog({ level: 'silent' }));
  open.push(subscription);
  return subscription;
};
const connections = async (): Promise<number | undefined> => {
  const [row] = await database.query<{ count: number }>(
    `SELECT count(*)::integer AS count FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'test:listen'`,
  );
  return row?.count;
};
afterAll(async () => {
  for (const subscription of open) await subscription.close();
});

test('what is notified arrives at every listener of the channel, until it stops', async () => {
  const subscription = subscribe();
  const heard: string[] = [];
  const stop = await subscription.listen('news', (payload) => heard.push(`first ${payload}`));
  await subscription.listen('news', (payload) => heard.push(`second ${payload}`));
  await subscription.listen('other', (payload) => heard.push(`other ${payload}`));
  await database.query(`SELECT pg_notify('news', 'a')`);
  await expect.poll(() => heard).toEqual(['first a', 'second a']);
  await stop();
  await database.query(`SELECT pg_notify('news', 'b')`);
  await expect.poll(() => heard).toEqual(['first a', 'second a', 'second b']);
});

test('after a lost connection it listens again, and says that something may have been missed', async () => {
  const subscription = subscribe();
  const heard: string[] = [];
  let reconnected = 0;
  await subscription.listen(
    'again',
    (payload) => heard.push(payload),
    () => (reconnected += 1),
  );
  await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'test:listen'`);
  await expect.poll(() => reconnected, { timeout: 10_000 }).toBe(1);
  await database.query(`SELECT pg_notify('again', 'still here')`);
  await expect.poll(() => heard).toEqual(['still here']);
});

test('closing while it still connects leaves nothing behind', async () => {
  const subscription = subscribe();
  const before = await connections();
  const listening = subscription.listen('news', () => undefined);
  await subscription.close();
  await (
    await listening.catch(() => undefined)
  )?.();
  // A pulse that went on would be found by the check for leaks that every file has.
  await expect.poll(connections).toBe(before);
});
