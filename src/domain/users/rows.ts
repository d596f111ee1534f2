import type { Selectable } from 'kysely';
import type { Roles, Users } from '../../lib/postgres/schema.generated.ts';
import type { Role, User, UserStatus } from './types.ts';

export type UserRow = Omit<Selectable<Users>, 'status'> & { readonly status: UserStatus };

export const toUser = (row: UserRow): User => ({
  id: row.id,
  workspaceId: row.workspace_id,
  email: row.email,
  name: row.name,
  status: row.status,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

export const toRole = (row: Selectable<Roles>): Role => ({
  id: row.id,
  workspaceId: row.workspace_id,
  name: row.name,
  permissions: row.permissions,
  isSystemRole: row.is_system_role,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
