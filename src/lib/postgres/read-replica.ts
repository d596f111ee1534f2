import type { PostgresQueryResult } from 'kysely';
import { withTimeout } from '../batching/with-timeout.ts';
import { AppError } from '../errors/app-error.ts';
import { serializeError } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import { readLsn } from './lsn.ts';
import type { Ask } from './pool-client.ts';
import type { WalHistory } from './wal-history.ts';

/** A pool of connections to one server. */
export interface ReplicaPool {
  readonly ask: Ask;
  resize(poolSize: number): void;
  /** Gives up what is under way, and closes. */
  cut(): Promise<void>;
}

export interface ReadReplicaParts {
  /** Host and port. */
  readonly name: string;
  readonly open: (poolSize: number) => ReplicaPool;
  readonly poolSize: number;
  readonly history: WalHistory;
  readonly log: Log;
}

/** `behind`: further than reads may be; `away`: it does not answer, or follows nobody any more. */
export type ReplicaStatus = 'ready' | 'behind' | 'away';

export interface ReplicaState {
  /** Host and port. */
  readonly name: string;
  readonly status: ReplicaStatus;
  readonly lagMs: number | null;
  /** Why it is away. */
  readonly reason: string | null;
}

const answerWithinMs = 1_000;
const leftAloneMs = 2_000;
/** Asked no more often than that how far it has come. */
const freshMs = 5;

const state = `SELECT pg_is_in_recovery() AS follows, coalesce(pg_last_wal_replay_lsn()::text, '') AS replayed`;

const reasonOf = (error: unknown): string =>
  error instanceof AppError ? error.message : `it does not answer (${serializeError(error).code})`;

/** One replica as this process sees it: how far it has come, and whether it is there at all. */
export class ReadReplica {
  readonly name: string;
  readonly #open: (poolSize: number) => ReplicaPool;
  #poolSize: number;
  readonly #history: WalHistory;
  readonly #log: Log;
  #pool: ReplicaPool;
  /** How to fail what is under way. */
  readonly #failures = new Set<(error: unknown) => void>();
  #awayFor: { readonly reason: string; readonly untilMs: number } | undefined;
  #replayed: bigint | undefined;
  #lookedAtMs = -Infinity;
  #looking: Promise<void> | undefined;
  readonly #cuts = new Set<Promise<void>>();

  constructor({ name, open, poolSize, history, log }: ReadReplicaParts) {
    this.name = name;
    this.#open = open;
    this.#poolSize = poolSize;
    this.#history = history;
    this.#log = log;
    this.#pool = open(poolSize);
  }

  /** Whether it shows everything up to there, and is not too old otherwise. */
  async has(position: bigint): Promise<boolean> {
    if (this.#awayFor) return false;
    if (this.#replayed === undefined || (this.#replayed < position && performance.now() - this.#lookedAtMs > freshMs))
      await this.look();
    return this.state().status === 'ready' && (this.#replayed ?? -1n) >= position;
  }

  /** Fails as soon as the replica is found to be away. */
  async ask<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    const { promise: found, reject } = Promise.withResolvers<never>();
    this.#failures.add(reject);
    try {
      return await Promise.race([this.#pool.ask<R>(text, values), found]);
    } finally {
      this.#failures.delete(reject);
    }
  }

  resize(poolSize: number): void {
    this.#poolSize = poolSize;
    this.#pool.resize(poolSize);
  }

  /** Asks where it stands; one that is away is asked again after two seconds. Never fails. */
  look(): Promise<void> {
    if (this.#awayFor && performance.now() < this.#awayFor.untilMs) return Promise.resolve();
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  state(): ReplicaState {
    const lagMs = this.#replayed === undefined ? undefined : this.#history.lagMs(this.#replayed, performance.now());
    return {
      name: this.name,
      status: this.#awayFor ? 'away' : lagMs === undefined ? 'behind' : 'ready',
      lagMs: this.#awayFor ? null : (lagMs ?? null),
      reason: this.#awayFor?.reason ?? null,
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool.cut(), ...this.#cuts]);
  }

  async #look(): Promise<void> {
    try {
      const asked = this.#pool.ask<{ follows: boolean; replayed: string }>(state, []);
      const { rows } = await withTimeout(asked, answerWithinMs, this.name);
      const [row] = rows;
      const replayed = row && readLsn(row.replayed);
      if (row?.follows !== true || replayed === undefined) throw noReplica(this.name);
      this.#replayed = replayed;
      this.#lookedAtMs = performance.now();
      if (this.#awayFor) this.#log.info({ event: 'postgres.replica-back', replica: this.name });
      this.#awayFor = undefined;
    } catch (error) {
      this.#goAway(error);
    }
  }

  #goAway(cause: unknown): void {
    if (!this.#awayFor) this.#log.warn({ event: 'postgres.replica-away', replica: this.name, err: cause });
    this.#awayFor = { reason: reasonOf(cause), untilMs: performance.now() + leftAloneMs };
    this.#replayed = undefined;
    for (const fail of this.#failures) fail(cause);
    const cut = this.#pool.cut().finally(() => this.#cuts.delete(cut));
    this.#cuts.add(cut);
    this.#pool = this.#open(this.#poolSize);
  }
}

const noReplica = (name: string): AppError =>
  new AppError('SERVICE_UNAVAILABLE', 'it is a server of its own, and follows none', { service: name });
