import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { RoleService } from '../users/role-service.ts';
import { UserService } from '../users/service.ts';
import type { Role, User } from '../users/types.ts';
import { WorkspaceService } from '../workspaces/service.ts';
import { systemWorkspaceName, type Workspace } from '../workspaces/types.ts';

/** The roles every installation has, granted in any workspace. */
const systemRoles = [
  { name: 'admin', permissions: ['*'] },
  { name: 'editor', permissions: ['knowledge:read', 'knowledge:write', 'knowledge:comment'] },
  { name: 'viewer', permissions: ['knowledge:read'] },
] as const;

const adminEmail = 'admin@localhost';

export interface Seeded {
  readonly workspace: Workspace;
  readonly roles: readonly Role[];
  /** Has no password; its one-time key is made for `admin.id`. */
  readonly admin: User;
}

/**
 * Makes what every installation needs unless it is there: the system workspace, its roles, and an administrator. Roles
 * and users that exist are left as they are, so it may run at every start.
 */
export const seed = async (services: { readonly postgres: Postgres; readonly log: Log }): Promise<Seeded> => {
  const workspace = await new WorkspaceService(services).ensure(systemWorkspaceName);
  const users = new UserService(services);
  const admin = await users.ensure({ email: adminEmail, name: 'Administrator' });
  const roleService = new RoleService(services);
  const roles: Role[] = [];
  for (const { name, permissions } of systemRoles) {
    roles.push(await roleService.ensureSystemRole(workspace.id, name, permissions));
  }
  await users.addMember(workspace.id, admin.id);
  const adminRole = roles.find(({ name }) => name === 'admin');
  if (adminRole) await users.grantRole(workspace.id, admin.id, adminRole.id);
  return { workspace, roles, admin };
};
