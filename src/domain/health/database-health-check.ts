import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { serializeError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { ConnectionStatus, Postgres } from '../../lib/postgres/postgres.ts';
import type { ReplicaState } from '../../lib/postgres/read-replica.ts';
import type { QueryPerformance } from '../../lib/postgres/query-metrics.ts';
import { reportText } from './report-text.ts';
import { readServerFacts } from './server-facts.ts';
import type { DatabaseHealth, ServerFacts } from './types.ts';

const answerWithinMs = 2_000;
const slowAnswerMs = 500;
const slowP95Ms = 1_000;
const lagMs = 30_000;
/** Of the server's connections. */
const fullShare = 0.9;

interface Seen {
  readonly responseTimeMs: number;
  readonly pool: ConnectionStatus;
  readonly performance: QueryPerformance;
  readonly database: ServerFacts;
  readonly readReplicas: readonly ReplicaState[];
}

const replicationReasons = ({ replayLagMs, replicas, slots }: ServerFacts): readonly string[] => [
  ...(replayLagMs !== null && replayLagMs > lagMs
    ? [`the replica is ${Math.round(replayLagMs / 1_000)} s behind`]
    : []),
  ...replicas
    .filter((replica) => (replica.lagMs ?? 0) > lagMs)
    .map((replica) => `the replica ${replica.name} is ${Math.round((replica.lagMs ?? 0) / 1_000)} s behind`),
  ...slots
    .filter(({ walStatus }) => walStatus === 'lost' || walStatus === 'unreserved')
    .map(
      ({ name, walStatus }) =>
        `the WAL that the slot ${name} needs is ${walStatus === 'lost' ? 'gone' : 'about to go'}`,
    ),
];

const readReasons = (replicas: readonly ReplicaState[]): readonly string[] =>
  replicas
    .filter(({ status }) => status !== 'ready')
    .map(({ name, reason }) => `reads do not go to the replica ${name}: ${reason ?? 'it is too far behind'}`);

const reasonsOf = ({ responseTimeMs, pool, performance, database, readReplicas }: Seen): readonly string[] => [
  ...(responseTimeMs > slowAnswerMs ? [`Postgres took ${Math.round(responseTimeMs)} ms to answer`] : []),
  ...(pool.waiting > 0 ? ['requests wait for a connection'] : []),
  ...((performance.p95Ms ?? 0) > slowP95Ms ? ['one statement in twenty takes more than a second'] : []),
  ...(database.connections > database.maxConnections * fullShare
    ? [`${database.connections} of the ${database.maxConnections} connections of the server are taken`]
    : []),
  ...replicationReasons(database),
  ...readReasons(readReplicas),
];

/** How the database is doing, as this process sees it. */
export class DatabaseHealthCheck {
  readonly #postgres: Postgres;
  readonly #log: Log;
  #last: DatabaseHealth | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor({ postgres, log }: { readonly postgres: Postgres; readonly log: Log }) {
    this.#postgres = postgres;
    this.#log = log;
  }

  /** Looks now; an answer that takes longer than two seconds counts as none. Never throws. */
  async check(): Promise<DatabaseHealth> {
    const { queries } = this.#postgres;
    let database: ServerFacts | null = null;
    let responseTimeMs: number | null = null;
    try {
      const startedAt = performance.now();
      await withTimeout(this.#postgres.query('SELECT 1'), answerWithinMs, 'Postgres');
      responseTimeMs = performance.now() - startedAt;
      database = await withTimeout(readServerFacts(this.#postgres), answerWithinMs, 'Postgres');
    } catch (error) {
      this.#log.warn({ event: 'health.postgres-unreachable', code: serializeError(error).code });
    }
    const readReplicas = await this.#postgres.reader.check();
    const [pool, figures] = [this.#postgres.getConnectionStatus(), queries.performance()];
    const connected = responseTimeMs !== null;
    const reasons =
      responseTimeMs === null
        ? [pool.waiting > 0 ? 'no connection came free within two seconds' : 'Postgres does not answer']
        : database === null
          ? ['Postgres does not say how it is doing']
          : reasonsOf({ responseTimeMs, pool, performance: figures, database, readReplicas });
    const health: DatabaseHealth = {
      status: connected ? (reasons.length === 0 ? 'healthy' : 'degraded') : 'unhealthy',
      reasons,
      connected,
      responseTimeMs,
      details: {
        connectionPool: pool,
        slowQueries: queries.slowQueries(),
        errors: queries.errors(),
        performance: figures,
        readReplicas,
        database,
      },
      timestamp: new Date(),
    };
    this.#note(health);
    return health;
  }

  /** Looks every so often, and logs when the status changes. Starting it again changes how often. */
  startContinuousCheck(everyMs = 60_000): void {
    this.stopContinuousCheck();
    const look = async (): Promise<void> => {
      await this.check();
      // Not an interval: a database that hangs is asked once at a time.
      if (this.#timer) this.#timer = setTimeout(() => void look(), everyMs).unref();
    };
    this.#timer = setTimeout(() => void look(), 0).unref();
  }

  stopContinuousCheck(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** What the last check saw; undefined before the first. */
  getLastHealthCheck(): DatabaseHealth | undefined {
    return this.#last;
  }

  /** The last check in words, for people. */
  generateReport(): string {
    return this.#last ? reportText(this.#last) : 'The database has not been looked at yet.\n';
  }

  /** Counts a statement that went around the platform's own connections. */
  recordQueryMetric(durationMs: number, statement?: string): void {
    this.#postgres.queries.record(durationMs, statement);
  }

  recordError(error: unknown): void {
    this.#postgres.queries.recordError(error);
  }

  #note(health: DatabaseHealth): void {
    const before = this.#last?.status ?? 'healthy';
    this.#last = health;
    if (health.status === before) return;
    const level = health.status === 'healthy' ? 'info' : 'warn';
    this.#log[level]({ event: 'health.database', status: health.status, reasons: health.reasons });
  }
}
