import type { AddCommand } from '../add-command.ts';
import { openKeys } from '../open-keys.ts';

export const addSeed: AddCommand = (program, run) => {
  program
    .command('seed')
    .description(
      'make what every installation needs: the system workspace, its roles, an administrator and a first key',
    )
    .action(
      run(async ({ platform, output }) => {
        const opened = await platform();
        const { seed } = await import('../../domain/seed/seed.ts');
        const { workspace, roles, admin } = await seed(opened);
        const created = await (await openKeys(opened)).ensureAdminKey({ userId: admin.id });
        const names = roles.map((role) => role.name);
        output.result(
          { workspace: workspace.name, roles: names, admin: admin.email, adminKey: created?.secret ?? null },
          () =>
            [
              `The workspace ${workspace.name} has the roles ${names.join(', ')} and the administrator ${admin.email}.`,
              created === undefined
                ? 'There is an admin key already; treadle keys create makes another.'
                : `Admin key, shown this once: ${created.secret}`,
            ].join('\n'),
        );
      }),
    );
};
