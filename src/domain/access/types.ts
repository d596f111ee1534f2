import type { Scope } from './scopes.ts';

/** Who asks: a key, or whoever sits at this machine while there are no keys. */
export interface Principal {
  /** `key:<uuid>`, `env:<name>` or `local`. */
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** The only workspace the key may work in. */
  readonly workspaceId: string | undefined;
  /** Who the key acts for. */
  readonly userId: string | undefined;
}

/** A key as it may be shown: its secret is kept nowhere. */
export interface ApiKey {
  readonly id: string;
  readonly name: string;
  /** The first characters of the secret, to recognise it by. */
  readonly prefix: string;
  readonly scopes: readonly Scope[];
  readonly workspaceId: string | null;
  readonly userId: string | null;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
}

export interface NewApiKey {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly workspaceId?: string | undefined;
  readonly userId?: string | undefined;
}

/** Whether `principal` has the scope, or all of them. */
export const may = (principal: Principal, scope: Scope): boolean =>
  principal.scopes.includes(scope) || principal.scopes.includes('admin');
