import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { Client } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { attachToServer } from '../../../src/lib/embedded/attach-to-server.ts';
import { processState } from '../../../src/lib/embedded/process-state.ts';
import { useOwners } from './owner.ts';

const { newFolder, usedFolder, start, run, own, refused } = useOwners();

const query = async (url: string, text: string): Promise<unknown[]> => {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
};

const eventually = async <T>(attempt: () => Promise<T>, timeoutMs = 15_000): Promise<T> => {
  for (const deadline = Date.now() + timeoutMs; ;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
};

test('a first start creates a database, a second one finds it on the same port', async () => {
  const folder = await newFolder();
  const first = await own(folder);
  expect(first.how).toBe('created');
  await query(first.url, `CREATE TABLE kept AS SELECT 'this' AS word`);
  expect(await query(first.url, `SELECT current_setting('wal_level') AS level`)).toEqual([{ level: 'logical' }]);
  expect(await first.process.end('SIGTERM')).toBe(0);
  expect(await processState(first.serverPid)).toBe('gone');

  const second = await own(folder);
  expect(second).toMatchObject({ how: 'started', url: first.url });
  expect(await query(second.url, 'SELECT word FROM kept')).toEqual([{ word: 'this' }]);
});

test('only whoever may read the data folder knows the password', async () => {
  const folder = await usedFolder();
  const { url } = await own(folder);
  expect((await stat(path.join(folder, 'postgres/password'))).mode & 0o777).toBe(0o600);
  const guess = new URL(url);
  guess.password = 'treadle';
  await expect(query(guess.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
});

test('a server whose owner was killed goes on, and the next start adopts it', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  await query(first.url, `CREATE TABLE kept AS SELECT 1 AS number`);
  await first.process.end('SIGKILL');
  expect(await query(first.url, 'SELECT number FROM kept')).toEqual([{ number: 1 }]);

  const second = await own(folder);
  expect(second).toMatchObject({ how: 'adopted', url: first.url, serverPid: first.serverPid });
  expect(await second.process.end('SIGTERM')).toBe(0);
  expect(await processState(first.serverPid)).not.toBe('running');
});

test('a killed server is started again on its port, and nothing committed is lost', async () => {
  const folder = await usedFolder();
  const owner = await own(folder);
  await query(owner.url, `CREATE TABLE kept AS SELECT 1 AS number`);
  process.kill(owner.serverPid, 'SIGKILL');
  expect(await eventually(() => query(owner.url, 'SELECT number FROM kept'))).toEqual([{ number: 1 }]);
  expect(await owner.process.end('SIGTERM')).toBe(0);
  await expect(query(owner.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('an adopted server is looked after as one that was started', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  await first.process.end('SIGKILL');
  const second = await own(folder);
  process.kill(second.serverPid, 'SIGKILL');
  expect(await eventually(() => query(second.url, 'SELECT 1 AS one'))).toEqual([{ one: 1 }]);
});

test('owner and server both killed: the next start recovers', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  await query(first.url, `CREATE TABLE kept AS SELECT 1 AS number`);
  await first.process.end('SIGKILL');
  process.kill(first.serverPid, 'SIGKILL');
  const second = await own(folder);
  expect(second).toMatchObject({ how: 'started', url: first.url });
  expect(await query(second.url, 'SELECT number FROM kept')).toEqual([{ number: 1 }]);
});

test('a second owner is refused and harms nothing; commands attach', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  const second = await refused(folder);
  expect(second.code).toBe('CONFIGURATION_ERROR');
  expect(second.message).toContain('in use by another Treadle');
  expect(second.message).toContain(folder);
  expect(await attachToServer(folder)).toBe(first.url);
  expect(await query(first.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('an owner whose connection was cut stays the owner', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  const owners = `FROM pg_stat_activity WHERE application_name = 'treadle:owner'`;
  const [before] = await query(first.url, `SELECT pid ${owners}`);
  await query(first.url, `SELECT pg_terminate_backend(pid) ${owners}`);
  await eventually(async () => {
    const now = await query(first.url, `SELECT pid ${owners}`);
    expect(now).toHaveLength(1);
    expect(now).not.toEqual([before]);
  });
  expect((await refused(folder)).message).toContain('another Treadle');
  expect(await first.process.end('SIGTERM')).toBe(0);
  expect(await processState(first.serverPid)).not.toBe('running');
});

test('of three starts at once on an empty folder one wins and the others are refused', async () => {
  const folder = await newFolder();
  const starts = await Promise.all([run(folder), run(folder), run(folder)]);
  const won = starts.flatMap(({ told }) => ('error' in told ? [] : [told]));
  const lost = starts.flatMap(({ told }) => ('error' in told ? [told.error.message] : []));
  expect(won).toHaveLength(1);
  expect(lost).toEqual([expect.stringContaining('another Treadle'), expect.stringContaining('another Treadle')]);
  expect(await query(won[0]?.url ?? '', 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('there is nothing to attach to before a start, nor after a stop', async () => {
  const folder = await newFolder();
  await expect(attachToServer(folder)).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  const owner = await own(folder);
  await owner.process.end('SIGTERM');
  await expect(attachToServer(folder)).rejects.toThrow(/no Treadle runs on the data folder/);
});

test('a port that somebody else took meanwhile is left to them', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  await first.process.end('SIGTERM');
  const squatter = net.createServer().listen(Number(new URL(first.url).port), '127.0.0.1');
  await once(squatter, 'listening');
  onTestFinished(() => new Promise((resolve) => void squatter.close(() => resolve())));
  const second = await own(folder);
  expect(new URL(second.url).port).not.toBe(new URL(first.url).port);
  expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

/** A process that has ended and whose parent never asks for its exit code. */
const makeZombie = async (): Promise<number> => {
  const parent = spawn('/bin/sh', ['-c', 'sleep 0.5 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(async () => {
    parent.kill('SIGKILL');
    await once(parent, 'close');
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  await eventually(async () => expect(await processState(pid)).toBe('zombie'));
  return pid;
};

const replacePid = async (folder: string, pid: number, left: string): Promise<void> => {
  await writeFile(path.join(folder, 'postgres/data/postmaster.pid'), left.replace(/^\d+/, String(pid)), {
    mode: 0o600,
  });
};

test('a lock file of a process that is a zombie, or a stranger by now, does not stop a start', async () => {
  const folder = await usedFolder();
  const first = await own(folder);
  const left = await readFile(path.join(folder, 'postgres/data/postmaster.pid'), 'utf8');
  await first.process.end('SIGTERM');
  await replacePid(folder, await makeZombie(), left);
  const second = await own(folder);
  expect(second.how).toBe('started');
  await second.process.end('SIGTERM');
  await replacePid(folder, process.pid, left);
  expect((await own(folder)).how).toBe('started');
});

test('a stop during the start leaves no server behind', async () => {
  const folder = await usedFolder();
  const { child } = start(folder);
  const ended = once(child, 'close');
  await eventually(() => readFile(path.join(folder, 'postgres/data/postmaster.pid')));
  child.kill('SIGTERM');
  await ended;
  const after = await own(folder);
  expect(after.how).toBe('started');
});
