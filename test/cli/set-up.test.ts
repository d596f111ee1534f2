import { describe, expect, it } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();
const treadle = (args: readonly string[]) => commandLine(args, { DATABASE_URL: database.url });

describe('treadle keys', () => {
  it('makes a key whose secret alone is printed, lists it without, and revokes it', async () => {
    const made = await treadle([
      'keys',
      'create',
      '--name',
      'importer',
      '--scope',
      'knowledge:write',
      '--scope',
      'jobs:read',
    ]);
    expect(made.exitCode).toBe(0);
    const secret = made.stdout.trim();
    expect(secret).toMatch(/^trd_\S{40,}$/);
    const listed = await treadle(['keys', 'list', '--json']);
    expect(listed.stdout).not.toContain(secret);
    expect(JSON.parse(listed.stdout)).toMatchObject({
      items: [{ name: 'importer', scopes: ['knowledge:write', 'jobs:read'], revokedAt: null }],
    });
    expect((await treadle(['keys', 'revoke', 'importer'])).stdout).toBe('Key importer is revoked.\n');
    expect((await treadle(['keys', 'revoke', 'importer'])).exitCode).toBe(1);
  });

  it('refuses scopes and workspaces that do not exist', async () => {
    const scope = await treadle(['keys', 'create', '--name', 'x', '--scope', 'everything']);
    expect([scope.exitCode, scope.stderr]).toEqual([
      1,
      'treadle: the key is refused:\n  scopes: "everything" is not a scope\n',
    ]);
    const workspace = await treadle(['keys', 'create', '--name', 'x', '--scope', 'admin', '--workspace', 'nowhere']);
    expect(workspace.stderr).toMatch(/workspace "nowhere" does not exist/);
  });
});

describe('treadle seed', () => {
  it('prints an admin key the first time, and changes nothing the second', async () => {
    const first = JSON.parse((await treadle(['seed', '--json'])).stdout) as { adminKey: string | null };
    expect(first).toMatchObject({
      workspace: 'system',
      roles: ['admin', 'editor', 'viewer'],
      admin: 'admin@localhost',
    });
    expect(first.adminKey).toMatch(/^trd_/);
    const second = await treadle(['seed', '--json']);
    expect(JSON.parse(second.stdout)).toEqual({ ...first, adminKey: null });
  });
});

describe('treadle health', () => {
  it('shows the database, processes and queues', async () => {
    const { exitCode, stdout } = await treadle(['health', '--json']);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'healthy',
      reasons: [],
      postgres: { version: expect.any(String) },
      processes: [],
      queues: expect.arrayContaining([expect.objectContaining({ name: 'embeddings', paused: false })]),
    });
  });

  it('says that jobs wait and nobody runs them, with exit code 1', async () => {
    await treadle(['enqueue', 'embeddings.backfill', '{}']);
    const { exitCode, stdout } = await treadle(['health']);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^degraded: jobs wait and no worker runs; jobs wait and no scheduler runs$/m);
  });
});
