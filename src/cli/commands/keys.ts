import type { Command } from 'commander';
import type { AddCommand, RunCommand } from '../add-command.ts';
import { several, uuid } from '../arguments.ts';
import { openKeys } from '../open-keys.ts';
import { table } from '../../lib/terminal/table.ts';

interface CreateOptions {
  readonly name: string;
  readonly scope: readonly string[];
  readonly workspace?: string;
  readonly user?: string;
}

const addCreate = (keys: Command, run: RunCommand): void => {
  keys
    .command('create')
    .description('make a key and print its secret, this once')
    .requiredOption('--name <name>', 'to recognise it by')
    .requiredOption('--scope <scope>', 'what it may do, such as jobs:write; may be given several times', several)
    .option('--workspace <name>', 'the only workspace it may work in, by name or id')
    .option('--user <id>', 'who it acts for', uuid)
    .addHelpText(
      'after',
      '\nScopes are <area>:read and <area>:write, queues:admin, health:read, actors:assert and admin (all).',
    )
    .action(
      run(async ({ platform, output }, { name, scope, workspace, user }: CreateOptions) => {
        const opened = await platform();
        const workspaceId = workspace === undefined ? undefined : (await opened.workspaces.get(workspace)).id;
        const { key, secret } = await (
          await openKeys(opened)
        ).create({ name, scopes: scope, workspaceId, userId: user });
        output.result({ ...key, secret }, () => secret);
        output.note(
          `This is the secret of key ${key.name} (${key.scopes.join(', ')}). It is kept nowhere: note it now.`,
        );
      }),
    );
};

const addList = (keys: Command, run: RunCommand): void => {
  keys
    .command('list')
    .description('list keys, revoked ones included')
    .action(
      run(async ({ platform, output }) => {
        const all = await (await openKeys(await platform())).list();
        output.result({ items: all }, () =>
          table(
            all,
            [
              { title: 'name', value: (key) => key.name, maxWidth: 40 },
              { title: 'begins', value: (key) => `${key.prefix}…` },
              { title: 'scopes', value: (key) => key.scopes.join(' '), maxWidth: 60 },
              { title: 'workspace', value: (key) => key.workspaceId },
              { title: 'created', value: (key) => key.createdAt },
              { title: 'last used', value: (key) => key.lastUsedAt },
              { title: 'revoked', value: (key) => key.revokedAt },
            ],
            'There are no keys: the API is open to this machine, and to it only.',
          ),
        );
      }),
    );
};

const addRevoke = (keys: Command, run: RunCommand): void => {
  keys
    .command('revoke')
    .description('end a key; every process refuses it within a second')
    .argument('<key>', 'its id, name or first characters')
    .action(
      run(async ({ platform, output }, reference: string) => {
        const key = await (await openKeys(await platform())).revoke(reference);
        output.result(key, () => `Key ${key.name} is revoked.`);
      }),
    );
};

export const addKeys: AddCommand = (program, run) => {
  const keys = program.command('keys').description('keys of the HTTP API: make, list, revoke');
  addCreate(keys, run);
  addList(keys, run);
  addRevoke(keys, run);
};
