import { AsyncLocalStorage } from 'node:async_hooks';
import type { Kysely, PostgresQueryResult } from 'kysely';
import type pg from 'pg';
import { codeOf } from '../errors/classify.ts';
import type { Log } from '../log/create-log.ts';
import type { Metric } from '../telemetry/metric-text.ts';
import { kyselyOver } from './kysely.ts';
import { readLsn } from './lsn.ts';
import { clientOf, type Ask } from './pool-client.ts';
import type { QueryMetrics } from './query-metrics.ts';
import type { Queryable } from './queryable.ts';
import { ReadReplica, type ReadReplicaParts, type ReplicaState } from './read-replica.ts';
import type { DB } from './schema.generated.ts';
import { WalHistory } from './wal-history.ts';
import { WriteMark } from './write-mark.ts';

export interface ReaderParts {
  /** Asks the primary. */
  readonly primary: Ask;
  readonly replicas: readonly Pick<ReadReplicaParts, 'name' | 'open'>[];
  readonly poolSize: number;
  readonly queries: QueryMetrics;
  readonly log: Log;
}

/** What belongs to one caller: all its reads go to one server, so that none shows an older state than the one before. */
interface Session {
  readonly after: bigint | undefined;
  readonly endsAtMs: number;
  server: Promise<ReadReplica | undefined> | undefined;
  wrote: boolean;
}

const ignored = (): void => undefined;

const lookEveryMs = 1_000;
/** A timer or a connection that was made in a session goes on in it. */
const sessionMs = 60_000;
/** A replica further behind is not read from. */
const maxLagMs = 30_000;
/** Of a statement, by its own time-out: the primary would need as long. */
const queryCanceled = '57014';
/** Of a statement that writes. */
const readOnly = '25006';

/**
 * The read side: within {@link Reader.session} a replica that shows all that the caller has written, else the primary. A
 * replica that fails is left alone for a while, and what it was asked goes to the primary.
 */
export class Reader implements Queryable {
  /** For single statements; it has no transactions. */
  readonly db: Kysely<DB>;
  readonly #parts: ReaderParts;
  readonly #replicas: readonly ReadReplica[];
  readonly #history = new WalHistory(maxLagMs);
  readonly #sessions = new AsyncLocalStorage<Session>();
  readonly #mark: WriteMark;
  readonly #reads = { replica: 0, primary: 0 };
  #failures = 0;
  #turn = 0;
  #watch: NodeJS.Timeout | undefined;
  #watching: Promise<void> | undefined;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    const { poolSize, log } = parts;
    this.#replicas = parts.replicas.map(
      (replica) => new ReadReplica({ ...replica, poolSize, history: this.#history, log }),
    );
    this.#mark = new WriteMark(() => this.position());
    this.db = kyselyOver(
      {
        // Of Kysely's own; it holds no connection.
        connect: () => Promise.resolve(clientOf((text, values) => this.#ask(text, values), ignored)),
        end: () => Promise.resolve(),
        options: {},
      },
      parts.queries,
    );
  }

  /** Whether there are replicas at all. */
  get hasReplicas(): boolean {
    return this.#replicas.length > 0;
  }

  query<R extends pg.QueryResultRow>(
    text: string,
    values: unknown[] = [],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    return this.#parts.queries.time(text, () => this.#ask<R>(text, values));
  }

  /**
   * What `fn` reads may come from a replica. It shows everything that was committed up to `after`, a position that
   * {@link position} has answered in whichever process; without it, everything this process has written. After a minute
   * what still goes on reads from the primary.
   */
  session<T>({ after }: { readonly after?: string | undefined }, fn: () => T): T {
    if (!this.hasReplicas) return fn();
    this.#startWatching();
    const session: Session = {
      after: after === undefined ? undefined : readLsn(after),
      endsAtMs: performance.now() + sessionMs,
      server: undefined,
      wrote: false,
    };
    return this.#sessions.run(session, fn);
  }

  /** Whether the caller is to be shown all that was written up to a position it has named, and what it wrote itself. */
  get mustShowPosition(): boolean {
    const session = this.#sessions.getStore();
    return session !== undefined && (session.after !== undefined || session.wrote);
  }

  /** Where the primary's log ends: behind everything that is committed now. */
  async position(): Promise<string> {
    const { rows } = await this.#parts.primary<{ position: string }>(
      'SELECT pg_current_wal_insert_lsn()::text AS position',
      [],
    );
    return rows[0]?.position ?? '';
  }

  /** To be told of every statement that the primary has run for this process, transactions as `COMMIT`. */
  note(text: string): void {
    if (!this.hasReplicas || !this.#mark.note(text)) return;
    const session = this.#sessions.getStore();
    if (session) session.wrote = true;
  }

  /** Looks at every replica, and answers how they are. */
  async check(): Promise<readonly ReplicaState[]> {
    if (this.hasReplicas) await this.#look();
    return this.#replicas.map((replica) => replica.state());
  }

  /** Of each replica's pool. */
  resize(poolSize: number): void {
    for (const replica of this.#replicas) replica.resize(poolSize);
  }

  metrics(): readonly Metric[] {
    if (!this.hasReplicas) return [];
    const states = this.#replicas.map((replica) => replica.state());
    return [
      {
        name: 'treadle_postgres_reads_total',
        help: 'Reads that may go to a replica, by where they went.',
        type: 'counter',
        samples: Object.entries(this.#reads).map(([server, value]) => ({ labels: { server }, value })),
      },
      {
        name: 'treadle_postgres_replica_failures_total',
        help: 'Reads that failed on a replica, and went to the primary.',
        type: 'counter',
        samples: [{ labels: {}, value: this.#failures }],
      },
      {
        name: 'treadle_postgres_replica_ready',
        help: '1 while reads may go to the replica.',
        type: 'gauge',
        samples: states.map(({ name, status }) => ({ labels: { replica: name }, value: status === 'ready' ? 1 : 0 })),
      },
    ];
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    await this.#watching;
    await Promise.all(this.#replicas.map((replica) => replica.close()));
  }

  async #ask<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    const session = this.#sessions.getStore();
    const replica = session && (await this.#serverOf(session));
    if (session && replica) {
      try {
        const answer = await replica.ask<R>(text, values);
        this.#reads.replica += 1;
        return answer;
      } catch (error) {
        if (codeOf(error) === queryCanceled) throw error;
        // A conflict with what it replays, a lost connection, a table that it does not have yet: the primary knows.
        this.#failures += 1;
        if (codeOf(error) === readOnly) this.note('COMMIT');
        session.server = Promise.resolve(undefined);
        void replica.look();
      }
    }
    if (!session) return this.#askPrimary<R>(text, values);
    this.#reads.primary += 1;
    return this.#parts.primary<R>(text, values);
  }

  /** Outside of a session it is the same as any other way to the primary. */
  async #askPrimary<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    try {
      return await this.#parts.primary<R>(text, values);
    } finally {
      this.note(text);
    }
  }

  #serverOf(session: Session): Promise<ReadReplica | undefined> {
    if (session.wrote || performance.now() > session.endsAtMs) return Promise.resolve(undefined);
    session.server ??= this.#choose(session.after ?? this.#mark.position());
    return session.server;
  }

  async #choose(position: bigint | undefined): Promise<ReadReplica | undefined> {
    if (position === undefined) return undefined;
    this.#turn += 1;
    for (let offset = 0; offset < this.#replicas.length; offset += 1) {
      const replica = this.#replicas[(this.#turn + offset) % this.#replicas.length];
      if (replica && (await replica.has(position))) return replica;
    }
    return undefined;
  }

  /** Replicas are looked at while there is somebody who reads. */
  #startWatching(): void {
    if (this.#watch) return;
    const look = (): void => {
      this.#watching ??= this.#look().finally(() => {
        this.#watching = undefined;
      });
    };
    this.#watch = setInterval(look, lookEveryMs).unref();
    look();
  }

  async #look(): Promise<void> {
    const lsn = await this.#parts
      .primary<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn', [])
      .then(({ rows }) => readLsn(rows[0]?.lsn ?? ''))
      .catch(() => undefined);
    if (lsn !== undefined) this.#history.add(lsn, performance.now());
    await Promise.all(this.#replicas.map((replica) => replica.look()));
  }
}
