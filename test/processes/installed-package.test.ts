import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { endsWithParent } from '../services/service.ts';
import { useDatabase } from '../services/database.ts';
import { readProjectFile } from '../project/read-project-file.ts';
import { useInstalledProject } from './installed-project.ts';

const database = useDatabase();
const project = useInstalledProject('orders');
const tsc = path.join(import.meta.dirname, '../../node_modules/typescript/bin/tsc');

/** The mail service of the example: keeps what it is given. */
const mails: unknown[] = [];
let mailService: Server;
let variables: Readonly<Record<string, string>>;
beforeAll(async () => {
  mailService = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      mails.push(JSON.parse(text));
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(mailService, 'listening');
  const address = mailService.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  variables = {
    DATABASE_URL: database.url,
    MAIL_URL: `http://127.0.0.1:${port}`,
    TREADLE_JOBS: './jobs.ts',
    TREADLE_PORT: '0',
  };
});
afterAll(() => {
  mailService.closeAllConnections();
  mailService.close();
});

describe('the package, installed in a project', () => {
  test('has the command', async () => {
    const help = await project.run('npx', ['treadle', '--help']);
    expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Usage: treadle') });
    const check = await project.run('node_modules/.bin/treadle', ['check'], variables);
    expect(check.stdout).toMatch(/ok +schema: up to date/);
    expect(check.stdout).toMatch(/ok +TREADLE_JOBS: 3 jobs, 3 handlers, 1 queues, 1 schedules/);
  });

  test('brings the types of contracts, handlers and clients', async () => {
    const source = `
      import type { Platform } from 'treadle';
      import { AppError, connectTreadle, treadleHttp, type TreadleClient } from 'treadle/client';
      import { confirmOrder } from './contracts.ts';
      const clients: TreadleClient[] = [treadleHttp({ url: 'http://x' }), connectTreadle({ databaseUrl: 'postgres://x/y' })];
      export const wrong = async (client: TreadleClient, platform: Platform): Promise<string | undefined> => {
        // @ts-expect-error orderId is missing
        await client.enqueue(confirmOrder, {});
        // @ts-expect-error only the client beside the database knows transactions
        await client.enqueue(confirmOrder, { orderId: 'x' }, { tx: platform.postgres });
        const job = await client.wait(confirmOrder, 'x');
        // @ts-expect-error the result has no such field
        job?.result?.from;
        return clients.includes(client) ? job?.result?.to : new AppError('TIMEOUT', 'x', {}).code;
      };`;
    await fs.writeFile(path.join(project.folder, 'types.ts'), source);
    expect(await project.run(process.execPath, [tsc, '-p', '.'])).toMatchObject({ exitCode: 0, stdout: '' });
  });

  test("has a suite for an app's own storage of events, and the page shows one that passes", async () => {
    const page = await readProjectFile('docs/events.md');
    const source = /^\/\/ memory-storage\.test\.ts\n[^]*?(?=^```)/m.exec(page)?.[0] ?? '';
    await fs.writeFile(path.join(project.folder, 'memory-storage.test.ts'), source);
    const passed = await project.run(process.execPath, ['--test', '--test-reporter=tap', 'memory-storage.test.ts']);
    expect(passed).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^# pass 15$/m) });
    const broken = source.replace('if (!this.#events.has(event.id)) ', '').replace('.sort(latestFirst)', '');
    await fs.writeFile(path.join(project.folder, 'broken.test.ts'), broken);
    const failed = await project.run(process.execPath, ['--test', '--test-reporter=tap', 'broken.test.ts']);
    expect(failed.exitCode).toBe(1);
    expect(failed.stdout).toMatch(/not ok \d+ - leaves an event as it is when its id is saved again/);
    expect(failed.stdout).toMatch(/not ok \d+ - answers the latest first/);
    await fs.rm(path.join(project.folder, 'broken.test.ts'));
  });

  test('loads with a client little more than the driver', async () => {
    const source = `
      import { registerHooks } from 'node:module';
      const packages = new Set();
      registerHooks({ load: (url, context, next) => {
        const name = url.split('/node_modules/').at(-1).match(/^(?:@[^/]+\\/)?[^/]+/)[0];
        if (url.includes('/node_modules/')) packages.add(name);
        return next(url, context);
      } });
      const { connectTreadle } = await import('treadle/client');
      await connectTreadle({ databaseUrl: 'postgres://x/y' }).close();
      await import('./contracts.ts');
      console.log(JSON.stringify([...packages]));`;
    await fs.writeFile(path.join(project.folder, 'loaded.mjs'), source);
    const { stdout } = await project.run(process.execPath, ['loaded.mjs']);
    const loaded = z.array(z.string()).parse(JSON.parse(stdout));
    expect(loaded).toEqual(expect.arrayContaining(['treadle', 'pg', 'zod']));
    const heavy = ['bullmq', 'ioredis', 'fastify', 'pg-boss', 'commander', 'openai', 'node-pg-migrate', 'cron-parser'];
    expect(loaded.filter((name) => heavy.includes(name))).toEqual([]);
  });
});

describe('the example, with its own jobs in TREADLE_JOBS', () => {
  let treadle: ChildProcess;
  let url = '';
  let printed = '';
  beforeAll(async () => {
    const setUp = await project.run(process.execPath, ['set-up.ts'], variables);
    if (setUp.exitCode !== 0) throw new Error(setUp.stderr);
    const [program, ...args] = [...endsWithParent(), process.execPath, 'node_modules/treadle/bin/treadle.js', 'dev'];
    treadle = spawn(program, args, { cwd: project.folder, env: project.env(variables), stdio: 'pipe' });
    treadle.stderr?.setEncoding('utf8').on('data', (text: string) => (printed += text));
    url = await new Promise((resolve, reject) => {
      treadle.stdout?.setEncoding('utf8').on('data', (text: string) => {
        const found = /runs at (http:\S+):/.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      });
      treadle.once('exit', (code) => reject(new Error(`ended with ${code}:\n${printed}`)));
    });
  });
  afterAll(async () => {
    if (treadle === undefined || treadle.exitCode !== null || treadle.signalCode !== null) return;
    treadle.kill('SIGKILL');
    await once(treadle, 'exit');
  });

  const jobs = (): Promise<{ name: string; state: string; tags: string[] }[]> =>
    database.query('SELECT name, state, tags FROM treadle.all_jobs WHERE queue IN ($1, $2) ORDER BY id', [
      'mail',
      'default',
    ]);

  test("an order and its job are one transaction of the app's", async () => {
    const failed = await project.run(
      process.execPath,
      ['place-order.ts', 'bob@example.org', 'x', '--and-fail'],
      variables,
    );
    expect(failed).toMatchObject({ exitCode: 1, stdout: 'not ordered: something else went wrong\n', stderr: '' });
    expect(await jobs()).toEqual([]);
    expect(await database.query('SELECT FROM public.orders')).toEqual([]);

    const placed = await project.run(process.execPath, ['place-order.ts', 'ada@example.org', 'a loom'], variables);
    expect(placed.stdout).toMatch(
      /^ordered; the confirmation is job [0-9a-f-]{36}\nthe job is completed; a mail went to ada/,
    );
    expect(await jobs()).toEqual([{ name: 'orders.confirm', state: 'completed', tags: ['shop'] }]);
    expect(mails).toEqual([{ to: 'ada@example.org', subject: 'We have your order: a loom' }]);
    expect(await database.query('SELECT FROM public.orders WHERE confirmed_at IS NOT NULL')).toHaveLength(1);
  });

  test('plain SQL is a producer: a trigger enqueues in the transaction of the row', async () => {
    await database.query('UPDATE public.orders SET shipped_at = now()');
    await expect.poll(() => mails.at(-1), { timeout: 15_000 }).toMatchObject({ subject: 'On its way: a loom' });
  });

  test('HTTP is a producer, and the schedule is there', async () => {
    const post = (payload: object): Promise<Response> =>
      fetch(`${url}/v1/jobs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'orders.report-day', payload }),
      });
    const accepted = z.object({ id: z.string() }).parse(await (await post({})).json());
    const done = await fetch(`${url}/v1/jobs/${accepted.id}/wait`);
    expect(await done.json()).toMatchObject({ state: 'completed', result: { orders: 1 } });
    expect((await post({ day: 'today' })).status).toBe(400);
    const schedules = await database.query('SELECT name, built_in FROM treadle.schedules WHERE job_name = $1', [
      'orders.report-day',
    ]);
    expect(schedules).toEqual([{ name: 'orders.report-day', built_in: true }]);
  });

  test('imports no documents by itself, and ends in order', async () => {
    expect(await database.query('SELECT FROM treadle.knowledge')).toEqual([]);
    const ended = once(treadle, 'exit');
    treadle.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});

test('a start with a module that does not load says so, and changes nothing', async () => {
  await fs.writeFile(path.join(project.folder, 'broken.ts'), 'export default { handlers: [5] };');
  const env = { ...variables, TREADLE_JOBS: './broken.ts' };
  const said = /TREADLE_JOBS \.\/broken\.ts: the default export is not what defineJobs\(\) answers: .*handlers\[0\]/;
  for (const args of [['start', 'worker'], ['migrate', 'up'], ['check']]) {
    const { exitCode, stdout, stderr } = await project.run('node_modules/.bin/treadle', args, env);
    expect(exitCode).toBe(1);
    expect(stdout + stderr).toMatch(said);
  }
});
