import type { ConnectionStatus } from '../../lib/postgres/postgres.ts';
import type { ReplicaState } from '../../lib/postgres/read-replica.ts';
import type { QueryPerformance, SlowQuery } from '../../lib/postgres/query-metrics.ts';

export interface RunningQuery {
  /** Without values. */
  readonly statement: string;
  readonly runningMs: number;
  readonly application: string;
}

export interface Replica {
  readonly name: string;
  readonly state: string;
  readonly lagMs: number | null;
}

export interface Slot {
  readonly name: string;
  readonly active: boolean;
  /** WAL that is kept for it. */
  readonly retainedBytes: number | null;
  /** `lost` and `unreserved`: what it needs is gone, or soon will be. */
  readonly walStatus: string | null;
}

/** What the server says of itself. */
export interface ServerFacts {
  readonly version: string;
  readonly startedAt: Date;
  readonly sizeBytes: number;
  readonly connections: number;
  readonly maxConnections: number;
  readonly isReplica: boolean;
  /** How far a replica is behind; null on a primary. */
  readonly replayLagMs: number | null;
  readonly replicas: readonly Replica[];
  readonly slots: readonly Slot[];
  /** Statements that run for a second and longer, longest first, 20 at most; other users' only with the right to see them. */
  readonly runningQueries: readonly RunningQuery[];
}

export interface DatabaseHealth {
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  /** Why it is not healthy. */
  readonly reasons: readonly string[];
  readonly connected: boolean;
  /** Of a statement that does nothing; null when there was no answer. */
  readonly responseTimeMs: number | null;
  readonly details: {
    readonly connectionPool: ConnectionStatus;
    readonly slowQueries: readonly SlowQuery[];
    /** Of this process since its start, by SQLSTATE or code. */
    readonly errors: Readonly<Record<string, number>>;
    readonly performance: QueryPerformance;
    /** Of DATABASE_REPLICA_URL, as this process sees them. */
    readonly readReplicas: readonly ReplicaState[];
    /** Null when there was no answer. */
    readonly database: ServerFacts | null;
  };
  readonly timestamp: Date;
}
