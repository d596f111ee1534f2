import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { chooseRunAs, commandOf, giveTo } from '../src/lib/embedded/run-as.ts';
import { freePort } from '../test/services/redis-server.ts';
import { endsWithParent } from '../test/services/service.ts';

// Runs the tests of the data layer on the oldest Postgres that Treadle works with: the system's own programs, in a folder
// that is thrown away. Arguments are passed to vitest; without any, all of the data layer.
const major = '15';
const dataLayer = [
  'test/domain',
  'test/changes',
  'test/lib/postgres',
  'test/lib/migrations',
  'test/lib/replication',
  'test/api/knowledge',
  'test/api/nodes',
  // What these are about is Elasticsearch, whichever Postgres it follows.
  ...['relevance', 'rebuild-under-load', 'index-jobs', 'index-faults', 'elasticsearch-away', 'refused-indexes'].flatMap(
    (name) => ['--exclude', `test/domain/search/${name}.test.ts`],
  ),
];
const run = promisify(execFile);

const findPrograms = async (): Promise<{ readonly postgres: string; readonly initdb: string }> => {
  const configured = await run('pg_config', ['--bindir']).then(
    ({ stdout }) => [stdout.trim()],
    () => [],
  );
  for (const folder of [`/usr/lib/postgresql/${major}/bin`, ...configured]) {
    const postgres = path.join(folder, 'postgres');
    const version = await run(postgres, ['--version']).then(
      ({ stdout }) => stdout,
      () => '',
    );
    if (version.includes(` ${major}.`)) return { postgres, initdb: path.join(folder, 'initdb') };
  }
  throw new Error(`there is no Postgres ${major}: on Debian 12, apt-get install postgresql-${major}`);
};

const isUp = async (url: string): Promise<boolean> => {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
};

const testOn = async (root: string): Promise<number> => {
  const programs = await findPrograms();
  const data = path.join(root, 'data');
  await fs.mkdir(data);
  const runAs = chooseRunAs(programs.postgres, root, data);
  giveTo(runAs, data);
  const secret = path.join(root, 'password');
  await fs.writeFile(secret, 'secret\n');
  const inits = [
    '--username=treadle',
    '--auth=scram-sha-256',
    `--pwfile=${secret}`,
    '--encoding=UTF8',
    '--locale=C.UTF-8',
  ];
  const init = commandOf(runAs, programs.initdb, [`--pgdata=${data}`, ...inits, '--no-sync', '--no-instructions']);
  await run(init.file, [...init.args], { ...runAs.spawnOptions, cwd: root });
  const port = await freePort();
  const hasty = [
    'fsync=off',
    'full_page_writes=off',
    'synchronous_commit=off',
    'wal_level=logical',
    'max_connections=300',
    'unix_socket_directories=',
  ];
  const [file, ...args] = [...endsWithParent(), programs.postgres, '-D', data, '-p', String(port)];
  const start = commandOf(runAs, file, [...args, ...hasty.flatMap((setting) => ['-c', setting])]);
  const server = spawn(start.file, [...start.args], { ...runAs.spawnOptions, cwd: root, stdio: 'ignore' });
  const ended = once(server, 'exit');
  try {
    const url = `postgres://treadle:secret@127.0.0.1:${port}/postgres`;
    for (const deadline = Date.now() + 30_000; !(await isUp(url));) {
      if (server.exitCode !== null || Date.now() > deadline) throw new Error(`Postgres ${major} does not start`);
      await delay(50);
    }
    const given = process.argv.slice(2);
    const vitest = path.join('node_modules', 'vitest', 'vitest.mjs');
    const tests = spawn(process.execPath, [vitest, 'run', ...(given.length > 0 ? given : dataLayer)], {
      env: { ...process.env, DATABASE_URL: url },
      stdio: 'inherit',
    });
    const [code] = await once(tests, 'exit');
    return typeof code === 'number' ? code : 1;
  } finally {
    server.kill('SIGINT');
    await ended;
  }
};

const root = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-postgres-'));
await fs.chmod(root, 0o755);
try {
  process.exitCode = await testOn(root);
} finally {
  await fs.rm(root, { recursive: true, force: true });
}
