export const userStatuses = ['active', 'disabled'] as const;
export type UserStatus = (typeof userStatuses)[number];

export interface User {
  readonly id: string;
  /** Null for an account; else the one workspace in which the person is known. */
  readonly workspaceId: string | null;
  readonly email: string | null;
  readonly name: string;
  readonly status: UserStatus;
  /** 1 at first; grows by one with every change. */
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface Role {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  /** Such as `knowledge:read`; `*` is everything. */
  readonly permissions: readonly string[];
  /** Of the system workspace; may be granted in every workspace, and stays as it is. */
  readonly isSystemRole: boolean;
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Somebody to be named as an author: found by email where there is one, else by name. */
export interface Person {
  readonly name: string;
  readonly email?: string | undefined;
}

/** What a user has written, over all workspaces. */
export interface UserStats {
  readonly documents: number;
  readonly published: number;
  /** In which the user may be named. */
  readonly workspaces: number;
  /** Of the user's documents; null when there is none. */
  readonly lastChangeAt: Date | null;
}

export interface Contributor {
  readonly id: string;
  readonly name: string;
  readonly documents: number;
  readonly lastChangeAt: Date;
}
