import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeFiles } from '../domain/imports/write-files.ts';
import { runTreadle, startTreadle, type Run } from './run-treadle.ts';

let dataDir = '';
beforeAll(async () => {
  dataDir = path.join(await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-embedded-')), 'data');
});
afterAll(() => fs.rm(path.dirname(dataDir), { recursive: true, force: true }));

const env = () => ({ TREADLE_DATA_DIR: dataDir, TREADLE_PORT: '0', LOG_LEVEL: 'error' });
const treadle = (...args: string[]): Promise<Run> => runTreadle(args, { env: env() });

const serverRuns = async (): Promise<boolean> => {
  const pidFile = path.join(dataDir, 'postgres', 'data', 'postmaster.pid');
  return fs.access(pidFile).then(
    () => true,
    () => false,
  );
};

describe('without DATABASE_URL', () => {
  it('a command works alone, and leaves no server behind', async () => {
    const folder = await writeFiles({ 'a.md': '# Alone\nNobody else runs.' });
    const imported = await treadle('import', folder, '--workspace', 'alone');
    expect([imported.exitCode, imported.stderr]).toEqual([0, '']);
    expect(await serverRuns()).toBe(false);
    const { stdout } = await treadle('jobs', 'list', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ items: [{ name: 'embeddings.embed-document', state: 'accepted' }] });
    expect(await serverRuns()).toBe(false);
  }, 60_000);

  it('the first run imports, embeds and finds the packages, and commands work beside it', async () => {
    const dev = startTreadle(['dev'], { env: env() });
    for (const deadline = Date.now() + 60_000; !dev.printed().includes('Search "');) {
      if (Date.now() > deadline) throw new Error(`no search was printed: ${dev.printed()}`);
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
    const health = await treadle('health', '--json');
    expect(JSON.parse(health.stdout)).toMatchObject({
      status: 'healthy',
      processes: [{ roles: ['api', 'worker', 'scheduler', 'replicator'] }],
    });

    const folder = await writeFiles({ 'ports.md': '# Ports\nThe harbour master opens the gate at dawn.' });
    const imported = await treadle('import', folder, '--workspace', 'beside', '--wait', '--json');
    expect(JSON.parse(imported.stdout)).toMatchObject({
      documents: { inserted: 1 },
      embeddings: { completed: 1, dead: 0 },
    });
    for (const mode of ['keyword', 'semantic', 'hybrid']) {
      const found = await treadle('search', 'harbour gate', '--workspace', 'beside', '--mode', mode, '--json');
      expect(JSON.parse(found.stdout)).toMatchObject({ hits: [{ title: 'Ports' }], degraded: false });
    }

    const second = await treadle('dev');
    expect([second.exitCode, second.stdout]).toEqual([1, '']);
    expect(second.stderr).toMatch(/is in use by another Treadle/);

    dev.process.kill('SIGTERM');
    const { exitCode, stdout } = await dev.ended;
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/Imported \d{3,} documents into the workspace packages/);
    expect(stdout).toMatch(/embeddings\.embed-document +\d{3,} +0 +0 +0 /);
    expect(stdout).toMatch(/Search "Redis based job queue".*\n +1 .*\bbullmq\n/);
    expect(await serverRuns()).toBe(false);
  }, 120_000);

  it('a role alone says that there is nothing to attach to', async () => {
    const { exitCode, stderr } = await treadle('start', 'worker');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^treadle: no Treadle runs on the data folder .*treadle dev/);
  });
});
