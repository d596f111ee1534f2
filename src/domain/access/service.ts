import type { ConfiguredKey } from '../../lib/config/api-keys.ts';
import { z } from 'zod';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import { lineOfText } from '../../lib/text/storable.ts';
import { createSecret, hashSecret, isSecretForm, prefixOf, sameHash } from './key-secret.ts';
import {
  anyUsableKey,
  findUsableByHash,
  findUsableByPrefix,
  insertKey,
  listKeys,
  revokeKey,
  touchKey,
  type StoredKey,
} from './repository.ts';
import { parseScopes, type Scope } from './scopes.ts';
import type { ApiKey, NewApiKey, Principal } from './types.ts';

export interface CreatedKey {
  readonly key: ApiKey;
  /** Given once, here; it cannot be had again. */
  readonly secret: string;
}

interface EnvironmentKey {
  readonly secretHash: Buffer;
  readonly principal: Principal;
}

interface CachedPrincipal {
  readonly principal: Principal;
  readonly secretHash: Buffer;
  readonly until: number;
}

/** How long a revoked key may still be answered from memory. */
const cacheMs = 1_000;
const cachedKeys = 1_000;
const id = z.guid({ error: 'must be an id' }).optional();
const keyRules = z.object({ name: lineOfText(200), workspaceId: id, userId: id });

const withoutHash = (stored: StoredKey): ApiKey => {
  const { secretHash: _, ...key } = stored;
  return key;
};

const toPrincipal = (key: StoredKey): Principal => ({
  id: `key:${key.id}`,
  name: key.name,
  scopes: key.scopes,
  workspaceId: key.workspaceId ?? undefined,
  userId: key.userId ?? undefined,
});

const scopesOf = (key: ConfiguredKey): readonly Scope[] => {
  try {
    return parseScopes(key.scopes);
  } catch (error) {
    const message = `gives the key ${key.name} a scope that does not exist`;
    throw new AppError(
      'CONFIGURATION_ERROR',
      `TREADLE_API_KEYS ${message}`,
      { faults: [{ variable: 'TREADLE_API_KEYS', message }] },
      { cause: error },
    );
  }
};

const fromEnvironment = (key: ConfiguredKey): EnvironmentKey => ({
  secretHash: Buffer.from(key.sha256, 'hex'),
  principal: {
    id: `env:${key.name}`,
    name: key.name,
    scopes: scopesOf(key),
    workspaceId: undefined,
    userId: undefined,
  },
});

/** Makes, lists, revokes and recognises API keys: those kept in Postgres and those of `TREADLE_API_KEYS`. */
export class KeyService {
  readonly #db: Queryable;
  readonly #environment: readonly EnvironmentKey[];
  readonly #cache = new Map<string, CachedPrincipal>();
  #hasKeys: { readonly value: boolean; readonly until: number } | undefined;

  /** @throws AppError CONFIGURATION_ERROR for a scope in `TREADLE_API_KEYS` that does not exist. */
  constructor(db: Queryable, environment: readonly ConfiguredKey[]) {
    this.#db = db;
    this.#environment = environment.map(fromEnvironment);
  }

  /**
   * Makes a key and answers its secret, once.
   * @throws AppError VALIDATION_ERROR for unknown scopes, a bad name or ids that are none, NOT_FOUND for an unknown
   * workspace or user, DATA_CONSISTENCY_ERROR for a name in use.
   */
  async create(input: NewApiKey): Promise<CreatedKey> {
    const { workspaceId, userId } = input;
    const { name } = parseOrThrow(keyRules, { name: input.name, workspaceId, userId }, 'the key');
    const scopes = parseScopes(input.scopes);
    const secret = createSecret();
    const stored = await explainConstraints(
      {
        api_keys_workspace_id_fkey: () => notFound('workspace', workspaceId ?? ''),
        api_keys_user_id_fkey: () => notFound('user', userId ?? ''),
      },
      () =>
        insertKey(this.#db, {
          name,
          prefix: prefixOf(secret),
          secretHash: hashSecret(secret),
          scopes,
          workspaceId,
          userId,
        }),
    );
    if (!stored) {
      throw new AppError('DATA_CONSISTENCY_ERROR', `a key named ${JSON.stringify(name)} exists already`, {
        entity: 'key',
        entityId: name,
      });
    }
    this.#hasKeys = undefined;
    return { key: withoutHash(stored), secret };
  }

  /** Makes the first key with all scopes, for seeding; undefined when there is one already. */
  async ensureAdminKey(options: { readonly userId?: string | undefined } = {}): Promise<CreatedKey | undefined> {
    const keys = await listKeys(this.#db);
    if (keys.some((key) => key.revokedAt === null && key.scopes.includes('admin'))) return undefined;
    return this.create({ name: 'admin', scopes: ['admin'], userId: options.userId }).catch((error: unknown) => {
      // Another process made it at the same moment, and has shown its secret.
      if (error instanceof AppError && error.code === 'DATA_CONSISTENCY_ERROR') return undefined;
      throw error;
    });
  }

  /** The keys kept in Postgres, newest first, revoked ones included. */
  async list(): Promise<readonly ApiKey[]> {
    return (await listKeys(this.#db)).map(withoutHash);
  }

  /**
   * Ends a key, named by its id, name or prefix; every process refuses it within a second.
   * @throws AppError NOT_FOUND when no usable key is named so.
   */
  async revoke(reference: string): Promise<ApiKey> {
    const revoked = await revokeKey(this.#db, reference);
    if (!revoked) throw notFound('key', reference);
    this.#cache.clear();
    this.#hasKeys = undefined;
    return withoutHash(revoked);
  }

  /** Whether there is any usable key; without one the API is open to this machine. At most a second old. */
  async hasKeys(): Promise<boolean> {
    if (this.#environment.length > 0) return true;
    const now = performance.now();
    if (this.#hasKeys === undefined || this.#hasKeys.until < now) {
      this.#hasKeys = { value: await anyUsableKey(this.#db), until: now + cacheMs };
    }
    return this.#hasKeys.value;
  }

  /** Whose secret this is; undefined when it is nobody's. Hashes are compared in constant time. */
  async authenticate(secret: string): Promise<Principal | undefined> {
    const hash = hashSecret(secret);
    return this.#remembered(hash) ?? this.#ofEnvironment(hash) ?? (await this.#ofDatabase(secret, hash));
  }

  /** The holder of the key with this hash of its secret, for logins that name their key by it. */
  async findByHash(hash: Buffer): Promise<Principal | undefined> {
    const known = this.#remembered(hash) ?? this.#ofEnvironment(hash);
    if (known) return known;
    const stored = await findUsableByHash(this.#db, hash);
    return stored && this.#remember(stored);
  }

  #ofEnvironment(hash: Buffer): Principal | undefined {
    let found: Principal | undefined;
    for (const key of this.#environment) if (sameHash(key.secretHash, hash)) found = key.principal;
    return found;
  }

  async #ofDatabase(secret: string, hash: Buffer): Promise<Principal | undefined> {
    if (!isSecretForm(secret)) return undefined;
    const candidates = await findUsableByPrefix(this.#db, prefixOf(secret));
    const stored = candidates.find((key) => sameHash(key.secretHash, hash));
    if (!stored) return undefined;
    await touchKey(this.#db, stored.id);
    return this.#remember(stored);
  }

  #remembered(hash: Buffer): Principal | undefined {
    const cached = this.#cache.get(hash.toString('base64'));
    return cached && cached.until > performance.now() && sameHash(cached.secretHash, hash)
      ? cached.principal
      : undefined;
  }

  #remember(key: StoredKey): Principal {
    if (this.#cache.size >= cachedKeys) this.#cache.clear();
    const principal = toPrincipal(key);
    this.#cache.set(key.secretHash.toString('base64'), {
      principal,
      secretHash: key.secretHash,
      until: performance.now() + cacheMs,
    });
    return principal;
  }
}
