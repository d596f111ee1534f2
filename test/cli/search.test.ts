import { beforeAll, describe, expect, it } from 'vitest';
import { writeFiles } from '../domain/imports/write-files.ts';
import { useDatabase } from '../services/database.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();
const treadle = (...args: string[]) => commandLine(args, { DATABASE_URL: database.url });

beforeAll(async () => {
  const folder = await writeFiles({
    'queues.md': '---\ntags: [work]\n---\n# Queues\nA queue keeps <jobs> until a worker has time for them.\n',
    'tea.md': '---\ntags: [kitchen]\nstatus: draft\n---\n# Tea\nA queue for tea forms at four. \u001B[31mHot.\n',
  });
  await treadle('import', folder, '--workspace', 'find');
});

describe('treadle search', () => {
  it('prints rank, score, title and where it matched, safe for a terminal', async () => {
    const { exitCode, stdout, stderr } = await treadle('search', 'queue', '--workspace', 'find', '--mode', 'keyword');
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^ {2}1 {2}\d\S* +Queues\n {5}.*A queue keeps <jobs> until/);
    expect(stdout).toMatch(/\nFound in 2 documents; [\d.]+ ms\.\n$/);
    expect(stdout).not.toContain('\u001B');
  });

  it('narrows by tag and status, and answers machines like the API', async () => {
    const found = await treadle(
      'search',
      'queue',
      '--workspace',
      'find',
      '--mode',
      'keyword',
      '--tag',
      'kitchen',
      '--json',
    );
    expect(JSON.parse(found.stdout)).toMatchObject({
      searchId: expect.any(String),
      total: 1,
      hits: [{ title: 'Tea', score: expect.any(Number), highlights: [expect.stringContaining('<mark>queue</mark>')] }],
      facets: expect.any(Object),
      degraded: false,
    });
    const drafts = await treadle(
      'search',
      'queue',
      '--workspace',
      'find',
      '--mode',
      'keyword',
      '--status',
      'published',
    );
    expect(drafts.stdout).not.toContain('Tea');
  });

  it('says that nothing was found', async () => {
    const { exitCode, stdout } = await treadle('search', 'zebra', '--workspace', 'find', '--mode', 'keyword');
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^Nothing was found\.\nFound in 0 documents/)]);
  });

  it('refuses a workspace that does not exist, and a query that is too long', async () => {
    const nowhere = await treadle('search', 'x', '--workspace', 'nowhere');
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([1, 'treadle: workspace "nowhere" does not exist\n']);
    const long = await treadle('search', 'x'.repeat(501), '--workspace', 'find');
    expect([long.exitCode, long.stderr]).toEqual([
      1,
      'treadle: the search is refused:\n  query: must have at most 500 characters\n',
    ]);
  });
});
