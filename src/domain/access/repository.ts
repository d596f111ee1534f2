import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Scope } from './scopes.ts';
import type { ApiKey } from './types.ts';

interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly secret_hash: Buffer;
  readonly scopes: Scope[];
  readonly workspace_id: string | null;
  readonly user_id: string | null;
  readonly created_at: Date;
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
}

/** A key with the hash it is compared by. */
export interface StoredKey extends ApiKey {
  readonly secretHash: Buffer;
}

/** Not revoked, and not a disabled user's. */
const usable = `revoked_at IS NULL
  AND NOT EXISTS (SELECT FROM treadle.users AS u WHERE u.id = user_id AND u.status = 'disabled')`;

const columns = 'id, name, prefix, secret_hash, scopes, workspace_id, user_id, created_at, last_used_at, revoked_at';

const toKey = (row: KeyRow): StoredKey => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  secretHash: row.secret_hash,
  scopes: row.scopes,
  workspaceId: row.workspace_id,
  userId: row.user_id,
  createdAt: row.created_at,
  lastUsedAt: row.last_used_at,
  revokedAt: row.revoked_at,
});

export interface KeyInsert {
  readonly name: string;
  readonly prefix: string;
  readonly secretHash: Buffer;
  readonly scopes: readonly Scope[];
  readonly workspaceId: string | undefined;
  readonly userId: string | undefined;
}

export const insertKey = async (db: Queryable, key: KeyInsert): Promise<StoredKey | undefined> => {
  const { rows } = await db.query<KeyRow>(
    `INSERT INTO treadle.api_keys (name, prefix, secret_hash, scopes, workspace_id, user_id)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
     RETURNING ${columns}`,
    [key.name, key.prefix, key.secretHash, key.scopes, key.workspaceId ?? null, key.userId ?? null],
  );
  return rows[0] && toKey(rows[0]);
};

/** Newest first, revoked ones included. */
export const listKeys = async (db: Queryable): Promise<readonly StoredKey[]> => {
  const { rows } = await db.query<KeyRow>(`SELECT ${columns} FROM treadle.api_keys ORDER BY created_at DESC, id DESC`);
  return rows.map(toKey);
};

export const findUsableByPrefix = async (db: Queryable, prefix: string): Promise<readonly StoredKey[]> => {
  const { rows } = await db.query<KeyRow>(`SELECT ${columns} FROM treadle.api_keys WHERE prefix = $1 AND ${usable}`, [
    prefix,
  ]);
  return rows.map(toKey);
};

export const findUsableByHash = async (db: Queryable, secretHash: Buffer): Promise<StoredKey | undefined> => {
  const { rows } = await db.query<KeyRow>(
    `SELECT ${columns} FROM treadle.api_keys WHERE secret_hash = $1 AND ${usable}`,
    [secretHash],
  );
  return rows[0] && toKey(rows[0]);
};

/** Revokes the usable key with this id, name or prefix. */
export const revokeKey = async (db: Queryable, reference: string): Promise<StoredKey | undefined> => {
  const { rows } = await db.query<KeyRow>(
    `UPDATE treadle.api_keys SET revoked_at = now()
     WHERE revoked_at IS NULL AND (id::text = $1 OR name = $1 OR prefix = $1)
     RETURNING ${columns}`,
    [reference],
  );
  return rows[0] && toKey(rows[0]);
};

export const anyUsableKey = async (db: Queryable): Promise<boolean> => {
  const { rows } = await db.query<{ found: boolean }>(
    'SELECT EXISTS (SELECT FROM treadle.api_keys WHERE revoked_at IS NULL) AS found',
  );
  return rows[0]?.found === true;
};

/** Notes that the key was used; writes at most once a minute. */
export const touchKey = async (db: Queryable, id: string): Promise<void> => {
  await db.query(
    `UPDATE treadle.api_keys SET last_used_at = now()
     WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`,
    [id],
  );
};
