import { createServer } from 'node:net';
import { once } from 'node:events';
import { expect, inject, test } from 'vitest';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { openDatabase } from '../../../src/lib/postgres/open-database.ts';

const log = createLog({ level: 'silent' });
const open = (env: Readonly<Record<string, string>>) => openDatabase(loadConfig(env), log, { mode: 'attach-or-own' });

const changed = (change: (url: URL) => void): string => {
  const url = new URL(inject('postgres').url);
  change(url);
  return url.href;
};

const refusal = async (env: Readonly<Record<string, string>>): Promise<{ code: string; message: string }> => {
  const failure: unknown = await open(env).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Error);
  return failure as { code: string; message: string };
};

test('DATABASE_URL is used once it answers', async () => {
  const { url } = inject('postgres');
  expect(await open({ DATABASE_URL: url })).toMatchObject({ url, directUrl: url, embedded: false });
  const direct = changed((parsed) => parsed.searchParams.set('application_name', 'direct'));
  expect(await open({ DATABASE_URL: url, DATABASE_DIRECT_URL: direct })).toMatchObject({ url, directUrl: direct });
});

test('a database that does not exist is named by variable and host', async () => {
  const { code, message } = await refusal({ DATABASE_URL: changed((url) => (url.pathname = '/no_such_database')) });
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toContain(`DATABASE_URL (${new URL(inject('postgres').url).host})`);
  expect(message).toContain('no such database');
});

test('a host that does not exist is named, the password is not', async () => {
  const { code, message } = await refusal({ DATABASE_URL: 'postgres://user:hush@postgres.invalid/db' });
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toBe('DATABASE_URL (postgres.invalid): there is no such host');
});

test('a port where nothing listens is told as such', async () => {
  const { code, message } = await refusal({ DATABASE_URL: 'postgres://user:hush@127.0.0.1:9/db' });
  expect(code).toBe('DB_CONNECTION_ERROR');
  expect(message).toBe('DATABASE_URL (127.0.0.1:9): nothing listens there');
});

test('a server that hangs up is told as such', async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  try {
    const { code, message } = await refusal({ DATABASE_URL: `postgres://user:hush@127.0.0.1:${port}/db` });
    expect(code).toBe('DB_CONNECTION_ERROR');
    expect(message).toContain(`DATABASE_URL (127.0.0.1:${port}): the server does not answer`);
  } finally {
    server.close();
    await once(server, 'close');
  }
});

test('a fault of DATABASE_DIRECT_URL is told of that variable', async () => {
  const { message } = await refusal({
    DATABASE_URL: inject('postgres').url,
    DATABASE_DIRECT_URL: 'postgres://user:hush@127.0.0.1:9/db',
  });
  expect(message).toContain('DATABASE_DIRECT_URL (127.0.0.1:9)');
});

test.runIf(new URL(inject('postgres').url).password)('a wrong password is told without it', async () => {
  const { code, message } = await refusal({ DATABASE_URL: changed((url) => (url.password = 'hush')) });
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toContain('the server refuses the user name or password');
  expect(message).not.toContain('hush');
});
