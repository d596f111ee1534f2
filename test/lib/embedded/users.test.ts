import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { useOwners } from './owner.ts';

const { newFolder, usedFolder, own, refused } = useOwners();

const isRoot = process.geteuid?.() === 0;
const ordinaryUser = 65_534;
const namelessUser = 12_345;
const succeeds = ([program = '', ...args]: readonly string[]): boolean => spawnSync(program, args).status === 0;
const namespacesAllowed = succeeds(['unshare', '--user', 'true']);
const readsEverything = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];

/** Runs Node as a user who may read everything, so that the checkout may lie in root's closed home. */
const asUser = (uid: number): readonly string[] => {
  if (!isRoot) return [];
  const capabilities = succeeds(['setpriv', ...readsEverything, 'true']) ? readsEverything : [];
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...capabilities];
};

const worksOn = async (url: string): Promise<boolean> => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('CREATE TABLE proof AS SELECT 1');
    return true;
  } finally {
    await client.end();
  }
};

/** A PATH on which only the named programs are found. */
const pathWith = async (...programs: string[]): Promise<{ PATH: string }> => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'treadle-path-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const program of programs) {
    const { stdout } = spawnSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' });
    await symlink(stdout.trim(), path.join(folder, program));
  }
  return { PATH: folder };
};

test('it works as an ordinary user', async () => {
  const folder = await newFolder();
  if (isRoot) await chown(folder, ordinaryUser, ordinaryUser);
  const owner = await own(path.join(folder, 'data'), { prefix: asUser(ordinaryUser) });
  expect(await worksOn(owner.url)).toBe(true);
  expect(await owner.process.end('SIGTERM')).toBe(0);
});

test('a data folder that may not be written is named', async () => {
  const folder = await newFolder();
  await chmod(folder, 0o555);
  const { code, message } = await refused(path.join(folder, 'data'), { prefix: asUser(ordinaryUser) });
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toContain('TREADLE_DATA_DIR');
  expect(message).toContain(path.join(folder, 'data'));
  expect(message).toContain('may not be read and written by this user');
});

// An ordinary user has one way to run Postgres; root has three, and takes the first that the system offers.
describe.runIf(isRoot)('as root', () => {
  test.runIf(namespacesAllowed)('files stay those of root where user namespaces are allowed', async () => {
    const folder = await newFolder();
    const owner = await own(folder);
    expect(await worksOn(owner.url)).toBe(true);
    expect((await stat(path.join(folder, 'postgres/data'))).uid).toBe(0);
  });

  test('without namespaces another user runs it, even in a closed folder', async () => {
    const folder = await newFolder();
    await chmod(folder, 0o700);
    const env = await pathWith('setpriv');
    const first = await own(folder, { env });
    expect(await worksOn(first.url)).toBe(true);
    expect((await stat(path.join(folder, 'postgres/password'))).uid).toBe(0);
    await first.process.end('SIGTERM');
    expect((await own(folder, { env })).how).toBe('started');
  });

  test('with neither program another user runs it in a folder that everybody may enter', async () => {
    const folder = await newFolder();
    const owner = await own(folder, { env: await pathWith() });
    expect(await worksOn(owner.url)).toBe(true);
  });

  test('a folder that no other user can enter is refused with what to do', async () => {
    const folder = await newFolder();
    await chmod(folder, 0o700);
    const { code, message } = await refused(folder, { env: await pathWith() });
    expect(code).toBe('CONFIGURATION_ERROR');
    expect(message).toContain('run Treadle as an ordinary user');
  });

  test.runIf(namespacesAllowed)('a user without a name, as containers have them, runs it too', async () => {
    const folder = await newFolder();
    await chown(folder, namelessUser, namelessUser);
    const owner = await own(folder, { prefix: asUser(namelessUser) });
    expect(await worksOn(owner.url)).toBe(true);
    expect((await stat(path.join(folder, 'postgres/data/PG_VERSION'))).uid).toBe(namelessUser);
  });

  test('data that another user owns stays theirs', async () => {
    const folder = await usedFolder();
    const data = path.join(folder, 'postgres/data');
    spawnSync('chown', ['-R', `${ordinaryUser}:${ordinaryUser}`, folder]);
    const asRoot = await own(folder);
    expect(await worksOn(asRoot.url)).toBe(true);
    await asRoot.process.end('SIGTERM');
    expect((await stat(path.join(data, 'global/pg_control'))).uid).toBe(ordinaryUser);
    const asTheUser = await own(folder, { prefix: asUser(ordinaryUser) });
    expect(asTheUser.how).toBe('started');
  });
});

test('a file in the place of the data folder is named', async () => {
  const folder = await newFolder();
  await mkdir(path.join(folder, 'parent'));
  const file = path.join(import.meta.dirname, 'users.test.ts');
  const { code, message } = await refused(file);
  expect(code).toBe('CONFIGURATION_ERROR');
  expect(message).toContain(`${file} (TREADLE_DATA_DIR) is not a folder`);
});
