import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();
let folder = '';
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-sagas-'));
  const treadle = new URL('../../src/treadle.ts', import.meta.url).href;
  const source = `import { defineJobs, defineSaga } from '${treadle}'; import { z } from '${import.meta.resolve('zod')}';
    const steps = ['pay', 'ship'].map((name) => ({ name, execute: async () => null }));
    export default defineJobs({ sagas: [defineSaga({ name: 'orders.place', input: z.object({ order: z.int() }), steps })] });`;
  await fs.writeFile(path.join(folder, 'jobs.ts'), source);
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

const treadle = (...args: readonly string[]) =>
  commandLine(args, { DATABASE_URL: database.url, TREADLE_JOBS: path.join(folder, 'jobs.ts') });

describe('treadle sagas', () => {
  it('starts, lists and shows a saga that a module of the app brings', async () => {
    const started = await treadle('sagas', 'start', 'orders.place', '{"order":7}');
    expect(started).toMatchObject({ exitCode: 0, stderr: '' });
    const [, id = '', jobId = ''] =
      /^Started saga (\S+) \(orders\.place\); the job (\S+) runs it\.\n$/.exec(started.stdout) ?? [];
    await database.query(
      `UPDATE treadle.saga_steps SET state = 'done', attempts = 2, result = '"paid"', started_at = now(), finished_at = now()
       WHERE saga_id = $1 AND position = 1`,
      [id],
    );
    const listed = await treadle('sagas', 'list', '--state', 'running', '--name', 'orders.place');
    expect(listed.stdout).toMatch(/^ID +NAME +STATE +STEP +CREATED +FINISHED +ERROR\n/);
    expect(listed.stdout).toContain(`${id}  orders.place  running`);
    const shown = await treadle('sagas', 'show', id);
    expect(shown.stdout).toMatch(/^input +\{"order":7\}$/m);
    expect(shown.stdout).toMatch(/^pay +done +2 +- .*"paid"$/m);
    expect(shown.stdout).toMatch(/^ship +pending +0 /m);
    const json = await treadle('sagas', 'show', id, '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({ id, jobId, state: 'running', steps: [{ name: 'pay' }, {}] });
  });

  it.each([
    [['start', 'orders.place', '{"order":"x"}'], /input\.order: must be a number/],
    [['start', 'orders.cancel', '{}'], /saga "orders\.cancel" does not exist/],
    [['start', 'orders.place', '{"order":1}', '--workspace', 'nowhere'], /workspace "nowhere" does not exist/],
    [['show', '01890a5d-ac96-774b-bcce-b302099a8057'], /saga "01890a5d-.*" does not exist/],
  ])('%j says what is wrong', async (args, says) => {
    const { exitCode, stdout, stderr } = await treadle('sagas', ...args);
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(says);
  });
});
