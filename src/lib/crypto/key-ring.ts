import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { EncryptionKey } from '../config/encryption-keys.ts';
import { AppError } from '../errors/app-error.ts';

const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
const sealedForm = /^treadle:enc:v1:([\w-]{1,50}):([\w-]+)$/;

/** The id of the key a value was encrypted under; undefined for a value that is not encrypted. */
export const keyIdOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? sealedForm.exec(value)?.[1] : undefined;

const fault = (message: string): AppError =>
  new AppError('CONFIGURATION_ERROR', message, { faults: [{ variable: 'TREADLE_ENCRYPTION_KEYS', message }] });

/** The keys of TREADLE_ENCRYPTION_KEYS: the first encrypts, all decrypt. */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyObject>;
  readonly currentId: string | undefined;

  constructor(keys: readonly EncryptionKey[]) {
    this.#keys = new Map(keys.map(({ id, base64 }) => [id, createSecretKey(base64, 'base64')]));
    this.currentId = keys[0]?.id;
  }

  has(id: string): boolean {
    return this.#keys.has(id);
  }

  /**
   * Encrypts text with AES-256-GCM under the first key; only who names the same context can decrypt it.
   * @throws AppError CONFIGURATION_ERROR when there is no key.
   */
  encrypt(text: string, context: string): string {
    const id = this.#current();
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv(algorithm, this.#key(id), iv).setAAD(Buffer.from(context));
    const body = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `treadle:enc:v1:${id}:${body.toString('base64url')}`;
  }

  /** @throws AppError CONFIGURATION_ERROR naming the key that is missing, or that is not the one it was encrypted under. */
  decrypt(sealed: string, context: string): string {
    const [, id = '', data = ''] = sealedForm.exec(sealed) ?? [];
    const body = Buffer.from(data, 'base64url');
    const decipher = createDecipheriv(algorithm, this.#key(id), body.subarray(0, ivBytes), {
      authTagLength: tagBytes,
    }).setAAD(Buffer.from(context));
    try {
      decipher.setAuthTag(body.subarray(-tagBytes));
      return decipher.update(body.subarray(ivBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      throw fault(
        `is not what the key ${id} of TREADLE_ENCRYPTION_KEYS encrypted here: the key is another one, or the value was changed`,
      );
    }
  }

  /** A keyed hash (HMAC-SHA-256), so that nobody without the key can try out what was hashed. @throws as decrypt. */
  sign(text: string, id = this.#current()): string {
    const secret = Buffer.from(hkdfSync('sha256', this.#key(id), '', 'treadle sign', 32));
    return `${id}:${createHmac('sha256', secret).update(text).digest('hex')}`;
  }

  #current(): string {
    if (this.currentId === undefined) throw fault('TREADLE_ENCRYPTION_KEYS is not set');
    return this.currentId;
  }

  #key(id: string): KeyObject {
    const key = this.#keys.get(id);
    if (!key) throw fault(`is encrypted under the key ${id}, which TREADLE_ENCRYPTION_KEYS does not have`);
    return key;
  }
}
