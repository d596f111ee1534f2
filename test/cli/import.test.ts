import { describe, expect, it } from 'vitest';
import { writeFiles } from '../domain/imports/write-files.ts';
import { useDatabase } from '../services/database.ts';
import { startTreadle } from './run-treadle.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();

const importInto = (path: string, workspace: string, ...more: string[]) =>
  commandLine(['import', path, '--workspace', workspace, ...more], { DATABASE_URL: database.url });

const documentsIn = (workspace: string) =>
  database.query<{ title: string; source_id: string }>(
    `SELECT k.title, k.source_id FROM treadle.knowledge AS k JOIN treadle.workspaces AS w ON w.id = k.workspace_id
     WHERE w.name = $1 ORDER BY k.source_id`,
    [workspace],
  );

describe('treadle import', () => {
  it('imports every format of a folder, makes the workspace, and enqueues an embedding for each document', async () => {
    const folder = await writeFiles({
      'a.md': '---\ntags: [x]\n---\n# From Markdown',
      'b.txt': 'From text',
      'c.jsonl': '{"title":"From JSONL"}\n',
      'd.csv': 'title,content\nFrom CSV,x\n',
    });
    const { exitCode, stdout, stderr } = await importInto(folder, 'formats');
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toBe('Imported 4 documents from 4 files into formats: 4 new, 0 changed, 0 unchanged.\n');
    expect((await documentsIn('formats')).map(({ title }) => title)).toEqual([
      'From Markdown',
      'b',
      'From JSONL',
      'From CSV',
    ]);
    const jobs = await database.query(`SELECT FROM treadle.jobs WHERE name = 'embeddings.embed-document'`);
    expect(jobs).toHaveLength(4);
  });

  it('reports a corrupted file with its line, imports the others, and ends with exit code 1', async () => {
    const folder = await writeFiles({ 'bad.jsonl': '{"title":"whole"}\n{"title":"ha', 'good.md': '# Good' });
    const { exitCode, stdout, stderr } = await importInto(folder, 'corrupted');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^Refused:\n {2}bad\.jsonl:2 is not valid JSON/);
    expect(stdout).toMatch(/Imported 1 document from 1 file .*\nRefused: 1 file\./);
    expect(await documentsIn('corrupted')).toEqual([{ title: 'Good', source_id: 'good.md' }]);
  });

  it('updates instead of doubling when it is run again', async () => {
    const folder = await writeFiles({ 'a.md': '# A', 'b.jsonl': '{"id":"b","title":"B"}' });
    await importInto(folder, 'again');
    const { stdout } = await importInto(folder, 'again', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      workspace: { name: 'again', id: expect.any(String) },
      files: { imported: 2, refused: 0, empty: 0, unknown: 0, skipped: 0 },
      documents: { inserted: 0, updated: 0, unchanged: 2 },
      faultsTotal: 0,
      faults: [],
    });
    expect(await documentsIn('again')).toHaveLength(2);
  });

  it('refuses a path that does not exist and a name that is none, and makes nothing', async () => {
    const missing = await importInto('/does/not/exist', 'missing');
    expect([missing.exitCode, missing.stderr]).toEqual([
      1,
      'treadle: import is refused:\n  /does/not/exist: does not exist\n',
    ]);
    const folder = await writeFiles({ 'a.md': '# A' });
    const misnamed = await importInto(folder, 'No Name!');
    expect(misnamed.exitCode).toBe(1);
    expect(misnamed.stderr).toMatch(/the workspace is refused:\n {2}must be 1 to 100 of a-z/);
    const unknown = await importInto(folder, '01890a5d-ac96-774b-bcce-b302099a8057');
    expect(unknown.stderr).toMatch(/workspace "01890a5d-.*" does not exist/);
    expect(await database.query(`SELECT name FROM treadle.workspaces WHERE name IN ('missing', 'no name!')`)).toEqual(
      [],
    );
  });

  it('says that no worker embeds what it waits for', async () => {
    const folder = await writeFiles({ 'a.md': '# A' });
    const { exitCode, stderr } = await importInto(folder, 'waiting', '--wait');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/no worker runs for the queue embeddings/);
  });

  it('ends by SIGINT with exit code 130 and can be run again', async () => {
    const lines = Array.from({ length: 12_000 }, (_, index) => `{"id":"d${index}","title":"Title ${index}"}`);
    const folder = await writeFiles({ 'many.jsonl': lines.join('\n') });
    const started = startTreadle(['import', folder, '--workspace', 'interrupted'], {
      env: { DATABASE_URL: database.url },
    });
    for (const deadline = Date.now() + 20_000; (await documentsIn('interrupted')).length === 0;) {
      if (Date.now() > deadline) throw new Error(`nothing was imported: ${started.printed()}`);
    }
    started.process.kill('SIGINT');
    const { exitCode, stdout, stderr } = await started.ended;
    expect([exitCode, stdout]).toEqual([130, '']);
    expect(stderr).toMatch(/^Interrupted after \d+ documents; importing again goes on\.\n$/);
    const again = await importInto(folder, 'interrupted');
    expect(again.exitCode).toBe(0);
    expect(await documentsIn('interrupted')).toHaveLength(12_000);
  });
});
