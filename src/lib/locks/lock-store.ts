/** Who asks for a lock, and for what. */
export interface LockClaim {
  readonly resource: string;
  /** Known to the one who asks only, and used once. */
  readonly token: string;
}

/**
 * Where locks lie. Times are those of the server. Fencing tokens of one resource grow from holder to holder.
 */
export interface LockStore {
  /** Takes the lock if nobody has it, and answers its fencing token; undefined while somebody has it. */
  take(claim: LockClaim, ttlMs: number): Promise<number | undefined>;
  /** Holds it for another `ttlMs`; false when the claim does not hold it any more. */
  renew(claim: LockClaim, ttlMs: number): Promise<boolean>;
  /** Gives it back; false, and nothing happens, when the claim does not hold it. */
  release(claim: LockClaim): Promise<boolean>;
}
