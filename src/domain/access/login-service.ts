import { randomBytes } from 'node:crypto';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { hashSecret } from './key-secret.ts';
import type { KeyService } from './service.ts';
import type { Principal } from './types.ts';

export interface Login {
  /** What the browser keeps; only its hash is stored. */
  readonly token: string;
  readonly principal: Principal;
  readonly expiresAt: Date;
}

const loginTtlMs = 12 * 3_600_000;

/** Logins of browsers: a key is given once for a token that lives 12 hours and ends with the key. */
export class LoginService {
  readonly #db: Queryable;
  readonly #keys: KeyService;

  constructor(db: Queryable, keys: KeyService) {
    this.#db = db;
    this.#keys = keys;
  }

  /** Undefined when the secret is nobody's. */
  async logIn(secret: string): Promise<Login | undefined> {
    const principal = await this.#keys.authenticate(secret);
    if (!principal) return undefined;
    const token = randomBytes(32).toString('base64url');
    const { rows } = await this.#db.query<{ expires_at: Date }>(
      `WITH expired AS (DELETE FROM treadle.browser_logins WHERE expires_at < now())
       INSERT INTO treadle.browser_logins (token_hash, secret_hash, expires_at)
       VALUES ($1, $2, now() + make_interval(secs => $3))
       RETURNING expires_at`,
      [hashSecret(token), hashSecret(secret), loginTtlMs / 1_000],
    );
    return { token, principal, expiresAt: rows[0]?.expires_at ?? new Date(Date.now() + loginTtlMs) };
  }

  /** Who holds this token; undefined when it has expired, was logged out, or its key was revoked. */
  async authenticate(token: string): Promise<Principal | undefined> {
    const { rows } = await this.#db.query<{ secret_hash: Buffer }>(
      'SELECT secret_hash FROM treadle.browser_logins WHERE token_hash = $1 AND expires_at > now()',
      [hashSecret(token)],
    );
    return rows[0] && this.#keys.findByHash(rows[0].secret_hash);
  }

  async logOut(token: string): Promise<void> {
    await this.#db.query('DELETE FROM treadle.browser_logins WHERE token_hash = $1', [hashSecret(token)]);
  }
}
